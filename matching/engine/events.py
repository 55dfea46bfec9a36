"""Events that the engine gives: integers only, immutable by convention. Import from messages.py.

Units, and the rule for new fields, are those of the commands in messages.py.
"""

from msgspec import Struct


class OrderAccepted(Struct, tag=1, array_like=True, gc=False):
    """The order is in the engine. Its trades follow; lots that do not trade rest, if they may."""

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
    """One match, at the maker's or the auction's price. `*_left_lots` are open after the match.

    In open trading a maker beyond the band's edge trades at the edge: `price_ticks` is then the
    edge, and `maker_price_ticks` is the maker's own price; else `maker_price_ticks` is 0.
    """

    maker_order_id: int
    taker_order_id: int
    maker_account_id: int
    taker_account_id: int
    taker_side: int
    price_ticks: int
    quantity_lots: int
    maker_left_lots: int
    taker_left_lots: int  # 0 for a taker by quote amount
    maker_price_ticks: int = 0


class OrderCancelled(Struct, tag=4, array_like=True, gc=False):
    """The order ended with lots unfilled: by command, by its terms, or by a rule (`code`)."""

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
    stop_ticks: int = 0
    display_lots: int = 0


class CommandRefused(Struct, tag=6, array_like=True, gc=False):
    """A command that enters no order was refused and had no effect."""

    command_id: int
    order_id: int
    code: str


class StateChanged(Struct, tag=7, array_like=True, gc=False):
    """The symbol is now in this market state."""

    symbol_id: int
    state: int


class OrderWaiting(Struct, tag=8, array_like=True, gc=False):
    """The order waits outside the book for its trigger or for its parent's fill.

    `stop_ticks` is 0 while the order is pending, and before a trailing stop is activated.
    """

    order_id: int
    account_id: int
    side: int
    stop_ticks: int


class OrderTriggered(Struct, tag=9, array_like=True, gc=False):
    """The order stops waiting and enters now. `at_ticks` triggered it; 0: its parent's fill did."""

    order_id: int
    account_id: int
    side: int
    at_ticks: int


class OrderRefreshed(Struct, tag=10, array_like=True, gc=False):
    """An iceberg shows its next slice, at the back of its queue."""

    order_id: int
    account_id: int
    shown_lots: int
    hidden_lots: int


class SelfTradePrevented(Struct, tag=11, array_like=True, gc=False):
    """A match that self-trade prevention did not allow, and the mode that was applied."""

    maker_order_id: int
    taker_order_id: int
    maker_account_id: int
    taker_account_id: int
    taker_side: int
    price_ticks: int
    quantity_lots: int
    mode: int


class ListAccepted(Struct, tag=12, array_like=True, gc=False):
    """A list is in the engine; its orders follow, each with its own answer."""

    list_id: int
    kind: int
    order_ids: list[int]


class CommandDone(Struct, tag=13, array_like=True, gc=False):
    """A command without an event of its own took effect: a setting, a cancel-after, an `Expire`."""

    command_id: int
    symbol_id: int


class ContinueNeeded(Struct, tag=14, array_like=True, gc=False):
    """Work is left: sequence a `Continue` for this symbol before its other commands."""

    symbol_id: int


class AuctionUncrossed(Struct, tag=15, array_like=True, gc=False):
    """An auction ended; this quantity traded at this price (both 0: nothing traded)."""

    symbol_id: int
    price_ticks: int
    quantity_lots: int


class PhaseChanged(Struct, tag=16, array_like=True, gc=False):
    """A volatility interruption entered `phase`; its next step is due at `due_ms` (0: it ended)."""

    symbol_id: int
    phase: int
    due_ms: int


class ReferenceMoved(Struct, tag=17, array_like=True, gc=False):
    """The price band has a new reference."""

    symbol_id: int
    reference_ticks: int


class OrderRepriced(Struct, tag=18, array_like=True, gc=False):
    """A post-only order that was triggered entered at another price, at which it does not trade."""

    order_id: int
    account_id: int
    side: int
    old_price_ticks: int
    price_ticks: int
    left_lots: int


# Only a symbol with advanced state (matching/engine/advanced.py) gives these.
AdvancedEvent = (
    OrderWaiting
    | OrderTriggered
    | OrderRefreshed
    | SelfTradePrevented
    | ListAccepted
    | CommandDone
    | ContinueNeeded
    | AuctionUncrossed
    | PhaseChanged
    | ReferenceMoved
    | OrderRepriced
)
Event = (
    OrderAccepted
    | OrderRejected
    | Trade
    | OrderCancelled
    | OrderAmended
    | CommandRefused
    | StateChanged
    | AdvancedEvent
)
