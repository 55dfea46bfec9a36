"""Rules for a new order. Pure: cheap checks come first, and the first refusal wins.

Every refusal is a DomainError with its own code and names its field. Rules that need the market's
prices, the user or the number of open orders are in risk/pretrade/rules.py; values, market states
and the terms that only some orders have are in the modules named after them.

Units: prices in ticks, quantities in lots, money in atoms of the quote asset.
"""

import re
from typing import Final

from exchange.domain import grammar
from exchange.domain.codes import Code
from exchange.domain.enums import (
    LIMIT_TYPES,
    TRIGGER_TYPES,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.domain.units import plain
from matching.engine.messages import Terms
from orders.validation.requests import OrderRequest, OrderTermsRequest
from orders.validation.states import entry_check
from orders.validation.terms import bound_ticks_of, is_plain, terms_build
from orders.validation.values import (
    price_ticks_of,
    quantity_lots_of,
    quote_atoms_of,
    word_of,
)
from risk.pretrade.drafts import OrderDraft

_CLIENT_ORDER_ID: Final = re.compile(grammar.CLIENT_ORDER_ID, re.ASCII).fullmatch
_SIDES: Final = {side.value: side for side in Side}
_TYPES: Final = {kind.value: kind for kind in OrderType}
_TIMES_IN_FORCE: Final = {word.value: word for word in TimeInForce}
_SELF_TRADES: Final = {word.value: word for word in SelfTradePrevention}
_MAY_REST: Final = frozenset({TimeInForce.GTC, TimeInForce.GTD})
# A stop that trades as a market order may wait; a market order itself never waits.
_TIMES_OF: Final = {
    kind: frozenset(TimeInForce)
    if kind in LIMIT_TYPES
    else frozenset({TimeInForce.IOC})
    if kind is OrderType.MARKET
    else _MAY_REST
    for kind in OrderType
}


def draft_build(
    request: OrderRequest,
    rules: SymbolRules,
    *,
    self_trade: SelfTradePrevention = SelfTradePrevention.CANCEL_INCOMING,
) -> OrderDraft:
    """Return the order on its symbol's grid. Raises DomainError of the first rule it breaks.

    `self_trade` is the mode of an order that names none. An order that trades as a market order
    has `price_ticks` 0 unless its client names a bound, since the usual bound depends on prices.
    """
    client_order_id_check(request.client_order_id)
    side = word_of(_SIDES, request.side, "side")
    kind = word_of(_TYPES, request.type, "type")
    time_in_force = _time_in_force(request, kind)
    entry_check(
        rules,
        kind,
        time_in_force,
        post_only=request.post_only,
        by_quote_amount=request.quote_amount is not None,
    )
    if request.post_only and (kind not in LIMIT_TYPES or time_in_force not in _MAY_REST):
        raise DomainError(Code.ORDER_POST_ONLY_INVALID, field="post_only")
    price_ticks, quantity_lots, quote_atoms = _size(request, kind, side, rules)
    terms: Terms | None = None
    if kind in TRIGGER_TYPES or time_in_force is TimeInForce.GTD or not is_plain(request):
        terms = terms_build(request, kind, side, time_in_force, quantity_lots, rules)
        stop_ticks = terms.stop_ticks if terms is not None else 0
        price_ticks += bound_ticks_of(request.bound_price, kind, side, stop_ticks, rules)
    return OrderDraft(
        symbol_id=rules.units.symbol_id,
        side=side,
        type=kind,
        time_in_force=time_in_force,
        post_only=request.post_only,
        price_ticks=price_ticks,
        quantity_lots=quantity_lots,
        quote_atoms=quote_atoms,
        client_order_id=request.client_order_id,
        self_trade=_self_trade(request.self_trade_prevention, self_trade),
        terms=terms,
    )


def client_order_id_check(client_order_id: str) -> None:
    """Raise order.client_id_invalid unless the id is 1 to 64 of the allowed characters."""
    if not is_client_order_id(client_order_id):
        raise DomainError(Code.ORDER_CLIENT_ID_INVALID, field="client_order_id")


def is_client_order_id(text: str) -> bool:
    """Return whether a text can be a client order id."""
    return _CLIENT_ORDER_ID(text) is not None


def time_in_force_default(kind: str) -> TimeInForce:
    """Return the time in force of an order that names none: ioc for a market order, else gtc."""
    return TimeInForce.IOC if kind == OrderType.MARKET else TimeInForce.GTC


def notional_check(price_ticks: int, quantity_lots: int, rules: SymbolRules) -> None:
    """Raise order.notional_below_min unless price times quantity reaches the symbol's minimum."""
    if rules.units.notional_atoms(price_ticks, quantity_lots) < rules.notional_atoms_min:
        minimum = plain(rules.units.quote_decimal(rules.notional_atoms_min))
        raise DomainError(Code.ORDER_NOTIONAL_BELOW_MIN, field="quantity", minimum=minimum)


def budget_ticklots(quote_atoms: int, rules: SymbolRules) -> int:
    """Return the whole tick-lots that a quote amount can buy; the rest of it is released."""
    return quote_atoms // rules.units.quote_atoms_per_ticklot


def _time_in_force(request: OrderTermsRequest, kind: OrderType) -> TimeInForce:
    if request.time_in_force is None:
        return time_in_force_default(kind)
    time_in_force = word_of(_TIMES_IN_FORCE, request.time_in_force, "time_in_force")
    if time_in_force not in _TIMES_OF[kind]:
        raise DomainError(
            Code.ORDER_TIME_IN_FORCE_INVALID,
            field="time_in_force",
            time_in_force=time_in_force.value,
        )
    return time_in_force


def _self_trade(word: str | None, default: SelfTradePrevention) -> SelfTradePrevention:
    return default if word is None else word_of(_SELF_TRADES, word, "self_trade_prevention")


def _size(
    request: OrderTermsRequest, kind: OrderType, side: Side, rules: SymbolRules
) -> tuple[int, int, int]:
    """Return limit price in ticks, lots and quote atoms; 0 for each that the order lacks."""
    if kind is OrderType.MARKET:
        return _market_size(request, side, rules)
    if request.quote_amount is not None:
        raise DomainError(Code.ORDER_QUANTITY_OR_QUOTE_AMOUNT, field="quote_amount")
    has_limit = kind in LIMIT_TYPES
    if has_limit and request.price is None:
        raise DomainError(Code.ORDER_PRICE_REQUIRED, field="price")
    if not has_limit and request.price is not None:
        raise DomainError(Code.ORDER_PRICE_FORBIDDEN, field="price")
    if request.quantity is None:
        raise DomainError(Code.ORDER_QUANTITY_REQUIRED, field="quantity")
    price_ticks = price_ticks_of(request.price, rules) if request.price is not None else 0
    quantity_lots = quantity_lots_of(request.quantity, rules)
    if has_limit:
        notional_check(price_ticks, quantity_lots, rules)
    return price_ticks, quantity_lots, 0


def _market_size(
    request: OrderTermsRequest, side: Side, rules: SymbolRules
) -> tuple[int, int, int]:
    if request.price is not None:
        raise DomainError(Code.ORDER_PRICE_FORBIDDEN, field="price")
    if (request.quantity is None) == (request.quote_amount is None):
        raise DomainError(Code.ORDER_QUANTITY_OR_QUOTE_AMOUNT, field="quantity")
    if request.quantity is not None:
        return 0, quantity_lots_of(request.quantity, rules), 0
    assert request.quote_amount is not None
    if side is not Side.BUY:
        raise DomainError(Code.ORDER_QUOTE_AMOUNT_BUY_ONLY, field="quote_amount")
    return 0, 0, quote_atoms_of(request.quote_amount, rules)
