"""What an order may be, checked without asking anyone: pure, cheap checks first, first one wins.

Every refusal is a DomainError with its own code, naming the field it is about. What needs the
market's last price, the user or the book's size is in risk/rules.py.

Units: prices in ticks, quantities in lots, money in atoms of the quote asset.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, TypeVar

from msgspec import Struct

from exchange.domain.codes import Code
from exchange.domain.drafts import OrderDraft
from exchange.domain.enums import OrderType, SelfTradePrevention, Side, SymbolState, TimeInForce
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.domain.units import NotExact, decimal_to_atoms, plain

# At most what NUMERIC(38,18) holds. No sign, exponent, NaN or digit of another script can match.
_DECIMAL: Final = re.compile(r"(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,18})?", re.ASCII).fullmatch
_CLIENT_ORDER_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII).fullmatch

# Commands and rows keep ticks, lots and tick-lots in signed 64 bits.
UNITS_MAX: Final = (1 << 63) - 1

W = TypeVar("W")
_SIDES: Final = {side.value: side for side in Side}
_TYPES: Final = {kind.value: kind for kind in OrderType}
_TIMES_IN_FORCE: Final = {word.value: word for word in TimeInForce}
_SELF_TRADES: Final = {word.value: word for word in SelfTradePrevention}


class OrderRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """An order as a client words it: decimals are still text."""

    symbol: str
    side: str
    type: str
    client_order_id: str
    price: str | None = None
    quantity: str | None = None
    quote_amount: str | None = None
    time_in_force: str | None = None
    post_only: bool = False
    self_trade_prevention: str | None = None


class AmendRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """New terms of an order as a client words them."""

    price: str | None = None
    quantity: str | None = None
    keep_priority: bool = False


def decimal_parse(text: str, *, field: str) -> Decimal:
    """A decimal in plain notation, 0 or more; raises request.field_invalid naming the field."""
    if _DECIMAL(text) is None:
        raise DomainError(
            Code.REQUEST_FIELD_INVALID,
            field=field,
            rule="a plain decimal of at most 20 digits and 18 places, without sign or exponent",
        )
    return Decimal(text)


def draft_build(request: OrderRequest, rules: SymbolRules) -> OrderDraft:
    """The order on its symbol's grid, or the DomainError that names what is wrong with it.

    A market order's `price_ticks` is 0: its protective bound depends on the book.
    """
    client_order_id_check(request.client_order_id)
    side = _word(_SIDES, request.side, "side")
    kind = _word(_TYPES, request.type, "type")
    if rules.state is not SymbolState.OPEN:
        raise DomainError(Code.SYMBOL_HALTED, field="symbol", symbol=rules.units.code)
    time_in_force = _time_in_force(request, kind)
    if request.post_only and (kind is not OrderType.LIMIT or time_in_force is not TimeInForce.GTC):
        raise DomainError(Code.ORDER_POST_ONLY_INVALID, field="post_only")
    price_ticks, quantity_lots, quote_atoms = (
        _limit_terms(request, rules)
        if kind is OrderType.LIMIT
        else _market_terms(request, side, rules)
    )
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
        self_trade=_self_trade(request.self_trade_prevention),
    )


def client_order_id_check(client_order_id: str) -> None:
    """Raise unless the id is 1 to 64 of the allowed characters."""
    if _CLIENT_ORDER_ID(client_order_id) is None:
        raise DomainError(Code.ORDER_CLIENT_ID_INVALID, field="client_order_id")


def amend_terms(request: AmendRequest, rules: SymbolRules) -> tuple[int, int]:
    """(price_ticks, quantity_lots) of an amend, 0 for what stays; raises DomainError."""
    if request.price is None and request.quantity is None:
        raise DomainError(Code.ORDER_AMEND_EMPTY)
    if request.keep_priority and (request.price is not None or request.quantity is None):
        raise DomainError(Code.ORDER_PRIORITY_NEEDS_REDUCTION, field="keep_priority")
    price_ticks = 0 if request.price is None else _price_ticks(request.price, rules)
    quantity_lots = 0 if request.quantity is None else _quantity_lots(request.quantity, rules)
    return price_ticks, quantity_lots


def notional_check(price_ticks: int, quantity_lots: int, rules: SymbolRules) -> None:
    """Raise unless price times quantity reaches the symbol's minimum."""
    if rules.units.notional_atoms(price_ticks, quantity_lots) < rules.notional_atoms_min:
        minimum = plain(rules.units.quote_decimal(rules.notional_atoms_min))
        raise DomainError(Code.ORDER_NOTIONAL_BELOW_MIN, field="quantity", minimum=minimum)


def budget_ticklots(quote_atoms: int, rules: SymbolRules) -> int:
    """What a quote amount buys at most, in whole tick-lots: the rest of the amount is released."""
    return quote_atoms // rules.units.quote_atoms_per_ticklot


def _time_in_force(request: OrderRequest, kind: OrderType) -> TimeInForce:
    if request.time_in_force is None:
        return TimeInForce.GTC if kind is OrderType.LIMIT else TimeInForce.IOC
    time_in_force = _word(_TIMES_IN_FORCE, request.time_in_force, "time_in_force")
    if kind is OrderType.MARKET and time_in_force is not TimeInForce.IOC:
        raise DomainError(
            Code.ORDER_TIME_IN_FORCE_INVALID,
            field="time_in_force",
            time_in_force=time_in_force.value,
        )
    return time_in_force


def _self_trade(word: str | None) -> SelfTradePrevention:
    if word is None:
        return SelfTradePrevention.CANCEL_INCOMING
    return _word(_SELF_TRADES, word, "self_trade_prevention")


def _limit_terms(request: OrderRequest, rules: SymbolRules) -> tuple[int, int, int]:
    if request.quote_amount is not None:
        raise DomainError(Code.ORDER_QUANTITY_OR_QUOTE_AMOUNT, field="quote_amount")
    if request.price is None:
        raise DomainError(Code.ORDER_PRICE_REQUIRED, field="price")
    if request.quantity is None:
        raise DomainError(Code.ORDER_QUANTITY_REQUIRED, field="quantity")
    price_ticks = _price_ticks(request.price, rules)
    quantity_lots = _quantity_lots(request.quantity, rules)
    notional_check(price_ticks, quantity_lots, rules)
    return price_ticks, quantity_lots, 0


def _market_terms(request: OrderRequest, side: Side, rules: SymbolRules) -> tuple[int, int, int]:
    if request.price is not None:
        raise DomainError(Code.ORDER_PRICE_FORBIDDEN, field="price")
    if (request.quantity is None) == (request.quote_amount is None):
        raise DomainError(Code.ORDER_QUANTITY_OR_QUOTE_AMOUNT, field="quantity")
    if request.quantity is not None:
        return 0, _quantity_lots(request.quantity, rules), 0
    assert request.quote_amount is not None
    if side is not Side.BUY:
        raise DomainError(Code.ORDER_QUOTE_AMOUNT_BUY_ONLY, field="quote_amount")
    return 0, 0, _quote_atoms(request.quote_amount, rules)


def _price_ticks(text: str, rules: SymbolRules) -> int:
    price = decimal_parse(text, field="price")
    units = rules.units
    try:
        price_ticks = units.price_ticks(price)
    except NotExact as error:
        raise DomainError(
            Code.ORDER_PRICE_OFF_TICK, field="price", tick=plain(units.tick)
        ) from error
    if price_ticks < rules.price_ticks_min:
        minimum = plain(units.price(rules.price_ticks_min))
        raise DomainError(Code.ORDER_PRICE_BELOW_MIN, field="price", minimum=minimum)
    if price_ticks > rules.price_ticks_max:
        maximum = plain(units.price(rules.price_ticks_max))
        raise DomainError(Code.ORDER_PRICE_ABOVE_MAX, field="price", maximum=maximum)
    return price_ticks


def _quantity_lots(text: str, rules: SymbolRules) -> int:
    quantity = decimal_parse(text, field="quantity")
    units = rules.units
    try:
        quantity_lots = units.quantity_lots(quantity)
    except NotExact as error:
        raise DomainError(
            Code.ORDER_QUANTITY_OFF_LOT, field="quantity", lot=plain(units.lot)
        ) from error
    if quantity_lots < rules.quantity_lots_min:
        minimum = plain(units.quantity(rules.quantity_lots_min))
        raise DomainError(Code.ORDER_QUANTITY_BELOW_MIN, field="quantity", minimum=minimum)
    if quantity_lots > rules.quantity_lots_max:
        maximum = plain(units.quantity(rules.quantity_lots_max))
        raise DomainError(Code.ORDER_QUANTITY_ABOVE_MAX, field="quantity", maximum=maximum)
    return quantity_lots


def _quote_atoms(text: str, rules: SymbolRules) -> int:
    amount = decimal_parse(text, field="quote_amount")
    units = rules.units
    try:
        quote_atoms = decimal_to_atoms(amount, units.quote_scale)
    except NotExact as error:
        raise DomainError(
            Code.ORDER_QUOTE_AMOUNT_INVALID,
            field="quote_amount",
            unit=plain(units.quote_decimal(1)),
        ) from error
    if quote_atoms < max(rules.notional_atoms_min, units.quote_atoms_per_ticklot):
        minimum = plain(units.quote_decimal(rules.notional_atoms_min))
        raise DomainError(Code.ORDER_NOTIONAL_BELOW_MIN, field="quote_amount", minimum=minimum)
    ticklots_max = min(rules.price_ticks_max * rules.quantity_lots_max, UNITS_MAX)
    if quote_atoms > ticklots_max * units.quote_atoms_per_ticklot:
        maximum = plain(units.quantity(rules.quantity_lots_max))
        raise DomainError(Code.ORDER_QUANTITY_ABOVE_MAX, field="quote_amount", maximum=maximum)
    return quote_atoms


def _word(words: Mapping[str, W], text: str, field: str) -> W:
    word = words.get(text)
    if word is None:
        raise DomainError(
            Code.REQUEST_FIELD_INVALID, field=field, rule=f"one of {', '.join(words)}"
        )
    return word
