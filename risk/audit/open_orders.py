"""An open order from its row and from an engine, in one form that B3 compares. Pure.

Units: prices in ticks, quantities in lots, times in milliseconds since the Unix epoch.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from exchange.domain.enums import (
    OrderStatus,
    OrderType,
    SelfTradePrevention,
    TimeInForce,
    TriggerSource,
)
from exchange.domain.units import NotExact, SymbolUnits
from matching.engine.book import Book
from matching.engine.components import Waiting
from matching.engine.messages import (
    FOK,
    GTC,
    IOC,
    NO_TERMS,
    SOURCE_BEST,
    SOURCE_LAST,
    STP_CANCEL_BOTH,
    STP_CANCEL_INCOMING,
    STP_CANCEL_RESTING,
    STP_DECREMENT,
    STP_NONE,
    TRIGGER_NONE,
    TRIGGER_STOP,
    TRIGGER_TAKE,
    TRIGGER_TRAILING,
    Terms,
)
from matching.engine.resting import RestingOrder
from risk.audit.inputs import SIDES

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_SELF_TRADES: Final = {
    SelfTradePrevention.NONE.value: STP_NONE,
    SelfTradePrevention.CANCEL_INCOMING.value: STP_CANCEL_INCOMING,
    SelfTradePrevention.CANCEL_RESTING.value: STP_CANCEL_RESTING,
    SelfTradePrevention.CANCEL_BOTH.value: STP_CANCEL_BOTH,
    SelfTradePrevention.DECREMENT.value: STP_DECREMENT,
}
_TRIGGERS: Final = {
    OrderType.LIMIT.value: TRIGGER_NONE,
    OrderType.MARKET.value: TRIGGER_NONE,
    OrderType.STOP_MARKET.value: TRIGGER_STOP,
    OrderType.STOP_LIMIT.value: TRIGGER_STOP,
    OrderType.TAKE_PROFIT.value: TRIGGER_TAKE,
    OrderType.TAKE_PROFIT_LIMIT.value: TRIGGER_TAKE,
    OrderType.TRAILING_STOP.value: TRIGGER_TRAILING,
}
_MARKET_TYPES: Final = frozenset(
    {
        OrderType.MARKET.value,
        OrderType.STOP_MARKET.value,
        OrderType.TAKE_PROFIT.value,
        OrderType.TRAILING_STOP.value,
    }
)
_TIMES_IN_FORCE: Final = {
    TimeInForce.GTC.value: GTC,
    TimeInForce.GTD.value: GTC,
    TimeInForce.IOC.value: IOC,
    TimeInForce.FOK.value: FOK,
}
_SOURCES: Final = {
    TriggerSource.LAST.value: SOURCE_LAST,
    TriggerSource.BEST.value: SOURCE_BEST,
    None: SOURCE_LAST,
}

# Joined from the reservations: these are the live orders, among many million ended orders.
OPEN_ORDERS: Final = """
SELECT placed.symbol_id, placed.id, placed.account_id, placed.side, placed.type,
    placed.time_in_force, placed.status, placed.price, placed.bound_price, placed.quantity,
    placed.filled, placed.priority_seq, placed.post_only, placed.self_trade, placed.group_id,
    placed.owner_tag, placed.list_id, placed.stop_price, placed.trigger_source,
    placed.trail_amount, placed.trail_ppm, placed.activation_price, placed.display_quantity,
    placed.expires_at, placed.reprice, placed.bound_trail_ppm, placed.reprice_limit
FROM wallets_reservation held JOIN orders_order placed ON placed.id = held.order_id
WHERE placed.status IN ('waiting', 'open', 'partially_filled')
ORDER BY placed.priority_seq, placed.id
"""


class Row(NamedTuple):
    """A row of OPEN_ORDERS."""

    symbol_id: int
    order_id: int
    account_id: int
    side: str
    type: str
    time_in_force: str
    status: str
    price: Decimal | None
    bound_price: Decimal | None
    quantity: Decimal | None
    filled: Decimal
    priority_seq: int
    post_only: bool
    self_trade: str
    group_id: int
    owner_tag: int
    list_id: int | None
    stop_price: Decimal | None
    trigger_source: str | None
    trail_amount: Decimal | None
    trail_ppm: int | None
    activation_price: Decimal | None
    display_quantity: Decimal | None
    expires_at: datetime | None
    reprice: bool
    bound_trail_ppm: int | None
    reprice_limit: Decimal | None


class OpenOrder(NamedTuple):
    """An open order in the form that is compared; terms that no longer matter are left out."""

    symbol_id: int
    account_id: int
    side: int
    is_waiting: bool
    price_ticks: int
    quantity_lots: int
    left_lots: int
    post_only: bool
    self_trade: int
    group_id: int
    owner_tag: int
    display_lots: int
    expire_ms: int
    how_it_waits: tuple[int, ...]  # empty in the book


def of_row(row: Row, units: SymbolUnits) -> OpenOrder:
    """Return the order of a row. Raises NotExact off the grid, AssertionError if impossible."""
    price = row.bound_price if row.type in _MARKET_TYPES else row.price
    assert price is not None, "an open order has a price, or a bound"
    assert row.quantity is not None, "an open order has a quantity"
    quantity_lots = units.quantity_lots(row.quantity)
    left_lots = quantity_lots - units.quantity_lots(row.filled)
    assert left_lots > 0, "an open order has something left"
    is_waiting = row.status == OrderStatus.WAITING
    return OpenOrder(
        row.symbol_id,
        row.account_id,
        SIDES[row.side],
        is_waiting,
        units.price_ticks(price),
        quantity_lots,
        left_lots,
        row.post_only,
        _SELF_TRADES[row.self_trade],
        row.group_id,
        row.owner_tag,
        units.quantity_lots(row.display_quantity or Decimal(0)),
        _expire_ms(row.expires_at),
        _row_waits(row, units) if is_waiting else (),
    )


def _expire_ms(expires_at: datetime | None) -> int:
    if expires_at is None:
        return 0
    whole, rest = divmod(expires_at - _EPOCH, _MILLISECOND)
    if rest:
        raise NotExact("an order's time is in whole milliseconds")
    return whole


def _row_waits(row: Row, units: SymbolUnits) -> tuple[int, ...]:
    is_market = row.type in _MARKET_TYPES
    trigger = _TRIGGERS[row.type]
    is_trailing = trigger == TRIGGER_TRAILING
    return (
        trigger,
        # The stop price of a trailing stop moves with the market, and its row need not follow.
        0 if is_trailing else units.price_ticks(row.stop_price or Decimal(0)),
        _SOURCES[row.trigger_source],
        units.price_ticks(row.trail_amount or Decimal(0)),
        row.trail_ppm or 0,
        units.price_ticks(row.activation_price or Decimal(0)),
        row.reprice,
        row.bound_trail_ppm or 0,
        units.price_ticks(row.reprice_limit or Decimal(0)),
        is_market,
        IOC if is_market else _TIMES_IN_FORCE[row.time_in_force],
    )


def of_engine(book: Book) -> dict[int, OpenOrder]:
    """Return all open orders of an engine's book by id, resting and waiting."""
    found = {order.order_id: _resting(book.symbol_id, order) for order in book.orders.values()}
    if book.advanced is not None:
        for waiting in book.advanced.waiting.values():
            found[waiting.command.order_id] = _waiting(book.symbol_id, waiting)
    return found


def _resting(symbol_id: int, order: RestingOrder) -> OpenOrder:
    return OpenOrder(
        symbol_id,
        order.account_id,
        order.side,
        False,
        order.price_ticks,
        order.quantity_lots,
        order.left_lots + order.hidden_lots,
        order.post_only,
        order.self_trade,
        order.group_id,
        order.owner_tag,
        order.display_lots,
        order.expire_ms,
        (),
    )


def _waiting(symbol_id: int, waiting: Waiting) -> OpenOrder:
    command = waiting.command
    terms: Terms = command.terms or NO_TERMS
    return OpenOrder(
        symbol_id,
        command.account_id,
        command.side,
        True,
        command.price_ticks,
        command.quantity_lots,
        command.quantity_lots,
        command.post_only,
        command.self_trade,
        command.group_id,
        command.owner_tag,
        terms.display_lots,
        terms.expire_ms,
        (
            terms.trigger,
            terms.stop_ticks,
            terms.source,
            terms.trail_ticks,
            terms.trail_ppm,
            terms.activation_ticks,
            terms.reprice,
            terms.bound_ppm,
            terms.reprice_limit_ticks,
            command.market,
            command.time_in_force,
        ),
    )


def difference(row: OpenOrder, engine: OpenOrder) -> str:
    """Return the names of the fields that differ, with both values; empty if none differs."""
    return ", ".join(
        f"{name} {ours} in its row, {theirs} in the engine"
        for name, ours, theirs in zip(row._fields, row, engine, strict=True)
        if ours != theirs
    )


def resting_order(row: Row, units: SymbolUnits) -> RestingOrder:
    """Return the order of a row as a plain book keeps it, with its priority.

    Raises AssertionError for orders that only a snapshot can restore, NotExact off the grid.
    """
    order = of_row(row, units)
    assert not order.is_waiting, "an order waits, and no engine snapshot says how"
    assert not order.display_lots, "an iceberg stands without an engine snapshot"
    assert not order.expire_ms, "an order expires, and no engine snapshot says when"
    return RestingOrder(
        row.order_id,
        order.account_id,
        order.side,
        order.price_ticks,
        order.quantity_lots,
        order.left_lots,
        row.priority_seq,
        order.post_only,
        order.self_trade,
        order.group_id,
        order.owner_tag,
    )
