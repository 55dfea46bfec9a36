"""Commands into the engine and events out of it: integers only, immutable by convention.

Units: prices in ticks, quantities in lots, money bounds in tick-lots (ticks x lots), times in
milliseconds since the Unix epoch. Every command carries all that the engine needs; the engine
never asks for anything else. Structs are array-like in MessagePack, so a new optional field is
appended at the end with a default and old journals stay readable (`matching/codec.py`).
"""

from typing import Final

from msgspec import Struct

# Sides. The sign of a side makes one code path serve both (matching/book.py).
BUY: Final = 0
SELL: Final = 1

# Time in force.
GTC: Final = 0
IOC: Final = 1
FOK: Final = 2

# Self-trade prevention, chosen by the incoming order.
STP_NONE: Final = 0  # market makers only
STP_CANCEL_INCOMING: Final = 1

# Market states of one symbol.
OPEN: Final = 0
HALT: Final = 1

# Why the engine refused or ended something. Stable strings: they reach the API unchanged.
DUPLICATE_ORDER_ID: Final = "order.duplicate_id"
POST_ONLY_WOULD_TAKE: Final = "order.post_only_would_take"
FOK_UNFILLABLE: Final = "order.fok_unfillable"
SELF_TRADE: Final = "order.self_trade"
SYMBOL_HALTED: Final = "symbol.halted"
NOT_OPEN: Final = "order.not_open"
AMEND_BELOW_FILLED: Final = "order.amend_below_filled"
AMEND_WOULD_TAKE: Final = "order.post_only_would_take"
NO_PRIORITY_KEPT: Final = "order.priority_needs_reduction"
ENGINE_FAULT: Final = "engine.fault"

# Why an order ended without being filled.
BY_USER: Final = "order.cancelled_by_user"
BY_CANCEL_ALL: Final = "order.cancelled_by_cancel_all"
IOC_REST: Final = "order.ioc_rest"
MARKET_REST: Final = "order.insufficient_liquidity"
BUDGET_SPENT: Final = "order.quote_amount_spent"


class Place(Struct, tag=1, array_like=True, gc=False):
    """Enter an order. A market order is an IOC whose `price_ticks` is its protective bound.

    `budget_ticklots` > 0 makes it a market order by quote amount: it spends at most that many
    tick-lots and `quantity_lots` is 0. Otherwise `quantity_lots` > 0.
    """

    command_id: int  # equals order_id
    time_ms: int
    symbol_id: int
    order_id: int
    account_id: int
    side: int
    price_ticks: int
    quantity_lots: int
    time_in_force: int = GTC
    post_only: bool = False
    market: bool = False
    budget_ticklots: int = 0
    self_trade: int = STP_CANCEL_INCOMING


class Cancel(Struct, tag=2, array_like=True, gc=False):
    """Take one resting order out of the book."""

    command_id: int
    time_ms: int
    symbol_id: int
    order_id: int


class Amend(Struct, tag=3, array_like=True, gc=False):
    """Give a resting order a new price and total quantity (what is already filled counts in it).

    The order goes to the back of its queue and may trade at once, unless `keep_priority` is set:
    then the price must be unchanged and the quantity smaller, or the amend is refused.
    0 leaves the price or the quantity as it is.
    """

    command_id: int
    time_ms: int
    symbol_id: int
    order_id: int
    price_ticks: int = 0
    quantity_lots: int = 0
    keep_priority: bool = False


class CancelAll(Struct, tag=4, array_like=True, gc=False):
    """Cancel every resting order of an account on one symbol, or on one side of it."""

    command_id: int
    time_ms: int
    symbol_id: int
    account_id: int
    side: int = -1  # -1: both


class SetState(Struct, tag=5, array_like=True, gc=False):
    """Move a symbol to another market state (halt, resume)."""

    command_id: int
    time_ms: int
    symbol_id: int
    state: int


class RefuseFaulty(Struct, tag=6, array_like=True, gc=False):
    """Stand-in for a command that made the engine raise: refuse it, with the reason on record."""

    command_id: int
    time_ms: int
    symbol_id: int
    order_id: int  # 0 when the command was not about one order
    is_place: bool


Command = Place | Cancel | Amend | CancelAll | SetState | RefuseFaulty


class OrderAccepted(Struct, tag=1, array_like=True, gc=False):
    """The order is in the engine; what did not trade in the events that follow rests, if it may."""

    order_id: int
    account_id: int
    side: int
    price_ticks: int
    quantity_lots: int  # 0 for a market order by quote amount


class OrderRejected(Struct, tag=2, array_like=True, gc=False):
    """The order never entered the book: nothing of it traded."""

    order_id: int
    account_id: int
    code: str


class Trade(Struct, tag=3, array_like=True, gc=False):
    """One match, at the maker's price. `*_left_lots` is what each order has open after it."""

    maker_order_id: int
    taker_order_id: int
    maker_account_id: int
    taker_account_id: int
    taker_side: int
    price_ticks: int
    quantity_lots: int
    maker_left_lots: int
    taker_left_lots: int  # 0 for a taker by quote amount


class OrderCancelled(Struct, tag=4, array_like=True, gc=False):
    """The order's open rest left the engine: by command, or because its terms say so."""

    order_id: int
    account_id: int
    side: int
    price_ticks: int
    left_lots: int
    code: str


class OrderAmended(Struct, tag=5, array_like=True, gc=False):
    """The order has new terms; trades of a repriced order follow as events of the same command."""

    order_id: int
    account_id: int
    side: int
    old_price_ticks: int
    old_left_lots: int
    price_ticks: int
    quantity_lots: int
    left_lots: int
    kept_priority: bool


class CommandRefused(Struct, tag=6, array_like=True, gc=False):
    """A cancel, amend or state change had no effect."""

    command_id: int
    order_id: int
    code: str


class StateChanged(Struct, tag=7, array_like=True, gc=False):
    """The symbol is now in this market state."""

    symbol_id: int
    state: int


Event = (
    OrderAccepted
    | OrderRejected
    | Trade
    | OrderCancelled
    | OrderAmended
    | CommandRefused
    | StateChanged
)
