"""Rules for the terms of some orders: triggers, trails, icebergs, expiry, repricing, bounds. Pure.

Each order type takes some of these fields and refuses the others by name.
Units: prices and distances in ticks, quantities in lots, times in Unix milliseconds.
"""

from operator import attrgetter
from typing import Final

from exchange.domain.codes import Code
from exchange.domain.enums import (
    LIMIT_TYPES,
    TRIGGER_TYPES,
    OrderType,
    Side,
    TimeInForce,
)
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.domain.units import NotExact, plain
from matching.engine.messages import SOURCE_LAST, Terms
from orders.commands.words import SOURCES, TRIGGERS
from orders.validation.requests import (
    ICEBERG_PARTS_MAX,
    TERM_FIELDS,
    TRAIL_BPS_MAX,
    OrderTermsRequest,
)
from orders.validation.values import (
    TIME_MS_MAX,
    decimal_parse,
    price_ticks_of,
    time_ms_parse,
    word_of,
)
from risk.pretrade.drafts import OrderDraft

PPM_PER_BPS: Final = 100

_SOURCES: Final = {word.value: source for word, source in SOURCES.items()}
_STOP_TYPES: Final = TRIGGER_TYPES - {OrderType.TRAILING_STOP}
_MAY_REST: Final = frozenset({TimeInForce.GTC, TimeInForce.GTD})


def is_plain(request: OrderTermsRequest) -> bool:
    """Return whether a request names none of TERM_FIELDS."""
    return _named(request) == _NONE_NAMED


_named: Final = attrgetter(*TERM_FIELDS)
_NONE_NAMED: Final = _named(OrderTermsRequest(side="", type="", client_order_id=""))


def terms_build(
    request: OrderTermsRequest,
    kind: OrderType,
    side: Side,
    time_in_force: TimeInForce,
    quantity_lots: int,
    rules: SymbolRules,
) -> Terms | None:
    """Return an order's terms or None. Raises DomainError if its type refuses a field."""
    expire_ms = _expire_ms(request.expires_at, time_in_force)
    if request.reprice and not request.post_only:
        raise DomainError(Code.ORDER_REPRICE_INVALID, field="reprice")
    stop_ticks = _stop_ticks(request.stop_price, kind, rules)
    source = _source(request.trigger_source, kind)
    trail_ticks, trail_ppm, activation_ticks = _trail(request, kind, rules)
    display_lots = _display_lots(
        request.display_quantity, kind, time_in_force, quantity_lots, rules
    )
    if kind not in TRIGGER_TYPES and not (expire_ms or display_lots or request.reprice):
        return None
    return Terms(
        trigger=TRIGGERS[kind],
        stop_ticks=stop_ticks,
        source=source,
        trail_ticks=trail_ticks,
        trail_ppm=trail_ppm,
        activation_ticks=activation_ticks,
        display_lots=display_lots,
        expire_ms=expire_ms,
        reprice=request.reprice,
        reprice_limit_ticks=_reprice_limit_ticks(side, rules) if request.reprice else 0,
    )


def _reprice_limit_ticks(side: Side, rules: SymbolRules) -> int:
    """Return the static limit, beyond which repricing never moves a post-only order."""
    return rules.price_ticks_min if side is Side.BUY else rules.price_ticks_max


def expiry_check(draft: OrderDraft, now_ms: int) -> None:
    """Raise order.expires_at_invalid if the order's expiry is not in the future."""
    if draft.terms is not None and 0 < draft.terms.expire_ms <= now_ms:
        raise DomainError(
            Code.ORDER_EXPIRY_INVALID, field="expires_at", rule="it must lie in the future"
        )


def bound_ticks_of(
    text: str | None, kind: OrderType, side: Side, stop_ticks: int, rules: SymbolRules
) -> int:
    """Return the protective price that the client names, or 0.

    Only an order that trades as a market order may name one. A bound better than the stop price is
    refused, because the order could not trade at the price that triggers it.
    """
    if text is None:
        return 0
    if kind in LIMIT_TYPES:
        raise DomainError(Code.ORDER_BOUND_FORBIDDEN, field="bound_price")
    bound_ticks = price_ticks_of(text, rules, "bound_price")
    bound_side_check(bound_ticks, side, stop_ticks, rules, "bound_price")
    return bound_ticks


def bound_side_check(
    bound_ticks: int, side: Side, stop_ticks: int, rules: SymbolRules, field: str
) -> None:
    """Raise order.bound_price_invalid if a bound is better than the stop price; 0 is none."""
    if not bound_ticks or not stop_ticks:
        return
    if (bound_ticks - stop_ticks) * (1 if side is Side.BUY else -1) < 0:
        word = "at least" if side is Side.BUY else "at most"
        rule = f"it must be {word} the stop price, {plain(rules.units.price(stop_ticks))}"
        raise DomainError(Code.ORDER_BOUND_INVALID, field=field, rule=rule)


def display_lots_parse(text: str, rules: SymbolRules) -> int:
    """Return a displayed quantity in lots; display_check compares it with the order's quantity."""
    try:
        display_lots = rules.units.quantity_lots(decimal_parse(text, field="display_quantity"))
    except NotExact as error:
        raise _display_refusal(f"a multiple of {plain(rules.units.lot)}") from error
    if display_lots < rules.quantity_lots_min:
        minimum = plain(rules.units.quantity(rules.quantity_lots_min))
        raise _display_refusal(f"at least {minimum}")
    return display_lots


def display_check(display_lots: int, quantity_lots: int, rules: SymbolRules) -> None:
    """Raise unless the displayed quantity is less than the quantity, but not too small a part."""
    if display_lots >= quantity_lots:
        raise _display_refusal("less than the quantity")
    parts_check(display_lots, quantity_lots, rules)


def parts_check(display_lots: int, quantity_lots: int, rules: SymbolRules) -> None:
    """Raise if an iceberg would have more than ICEBERG_PARTS_MAX parts; `display_lots` 0: none."""
    if display_lots and quantity_lots > display_lots * ICEBERG_PARTS_MAX:
        least_lots = -(-quantity_lots // ICEBERG_PARTS_MAX)
        least = plain(rules.units.quantity(least_lots))
        raise _display_refusal(f"at least {least}, a part in {ICEBERG_PARTS_MAX} of the quantity")


def _display_refusal(rule: str) -> DomainError:
    return DomainError(Code.ORDER_DISPLAY_INVALID, field="display_quantity", rule=rule)


def _display_lots(
    text: str | None,
    kind: OrderType,
    time_in_force: TimeInForce,
    quantity_lots: int,
    rules: SymbolRules,
) -> int:
    if text is None:
        return 0
    if kind not in LIMIT_TYPES or time_in_force not in _MAY_REST:
        raise _display_refusal("only a gtc or gtd order with a limit has one")
    display_lots = display_lots_parse(text, rules)
    display_check(display_lots, quantity_lots, rules)
    return display_lots


def _expire_ms(text: str | None, time_in_force: TimeInForce) -> int:
    is_dated = time_in_force is TimeInForce.GTD
    if text is None:
        if is_dated:
            raise DomainError(Code.ORDER_EXPIRY_REQUIRED, field="expires_at")
        return 0
    if not is_dated:
        rule = "only a gtd order has one"
        raise DomainError(Code.ORDER_EXPIRY_INVALID, field="expires_at", rule=rule)
    time_ms = time_ms_parse(text)
    if time_ms is None or not 0 < time_ms <= TIME_MS_MAX:
        rule = "an RFC 3339 time with a zone, or milliseconds since 1970 as digits"
        raise DomainError(Code.ORDER_EXPIRY_INVALID, field="expires_at", rule=rule)
    return time_ms


def _stop_ticks(text: str | None, kind: OrderType, rules: SymbolRules) -> int:
    if kind not in _STOP_TYPES:
        if text is not None:
            raise DomainError(Code.ORDER_STOP_PRICE_FORBIDDEN, field="stop_price")
        return 0
    if text is None:
        raise DomainError(Code.ORDER_STOP_PRICE_REQUIRED, field="stop_price")
    return price_ticks_of(text, rules, "stop_price")


def _source(text: str | None, kind: OrderType) -> int:
    if text is None:
        return SOURCE_LAST
    if kind not in TRIGGER_TYPES:
        raise DomainError(Code.ORDER_TRIGGER_SOURCE_FORBIDDEN, field="trigger_source")
    return word_of(_SOURCES, text, "trigger_source")


def _trail(request: OrderTermsRequest, kind: OrderType, rules: SymbolRules) -> tuple[int, int, int]:
    """Return trail_ticks, trail_ppm and activation_ticks; a trailing stop has one trail."""
    amount, bps, activation = request.trail_amount, request.trail_bps, request.activation_price
    if kind is not OrderType.TRAILING_STOP:
        values = {"trail_amount": amount, "trail_bps": bps, "activation_price": activation}
        for field, value in values.items():
            if value is not None:
                raise DomainError(Code.ORDER_TRAIL_FORBIDDEN, field=field)
        return 0, 0, 0
    if (amount is None) == (bps is None):
        raise DomainError(Code.ORDER_TRAIL_REQUIRED, field="trail_amount")
    trail_ticks = 0 if amount is None else _trail_ticks(amount, rules)
    trail_ppm = 0 if bps is None else _trail_ppm(bps)
    activation_ticks = (
        0 if activation is None else price_ticks_of(activation, rules, "activation_price")
    )
    return trail_ticks, trail_ppm, activation_ticks


def _trail_ticks(text: str, rules: SymbolRules) -> int:
    units = rules.units
    try:
        trail_ticks = units.price_ticks(decimal_parse(text, field="trail_amount"))
    except NotExact as error:
        raise _trail_refusal("trail_amount", f"a multiple of {plain(units.tick)}") from error
    if not 0 < trail_ticks <= rules.price_ticks_max:
        maximum = plain(units.price(rules.price_ticks_max))
        raise _trail_refusal("trail_amount", f"more than 0 and at most {maximum}")
    return trail_ticks


def _trail_ppm(bps: int) -> int:
    if not 1 <= bps <= TRAIL_BPS_MAX:
        raise _trail_refusal("trail_bps", f"from 1 to {TRAIL_BPS_MAX} basis points")
    return bps * PPM_PER_BPS


def _trail_refusal(field: str, rule: str) -> DomainError:
    return DomainError(Code.ORDER_TRAIL_INVALID, field=field, rule=rule)
