"""What the engine answers: integers only, immutable by convention. Import from messages.py.

Units and the rule for new fields are those of the commands there.
"""

from msgspec import Struct


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
    """One match, at the maker's price. `*_left_lots` is what each order has open after it.

    `maker_price_ticks` is where the maker stands if that is beyond the band's edge, at which the
    two traded then; else 0.
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
    stop_ticks: int = 0
    display_lots: int = 0


class CommandRefused(Struct, tag=6, array_like=True, gc=False):
    """A cancel, amend or state change had no effect."""

    command_id: int
    order_id: int
    code: str


class StateChanged(Struct, tag=7, array_like=True, gc=False):
    """The symbol is now in this market state."""

    symbol_id: int
    state: int


class OrderWaiting(Struct, tag=8, array_like=True, gc=False):
    """The order waits outside the book: for its trigger, or for its list.

    `stop_ticks` is 0 while it waits for its list, or for the activation of its trailing stop.
    """

    order_id: int
    account_id: int
    side: int
    stop_ticks: int


class OrderTriggered(Struct, tag=9, array_like=True, gc=False):
    """The order no longer waits: it comes in now. `at_ticks` triggered it, 0: its list did."""

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
    """A match that self-trade prevention did not let happen, and the mode that decided."""

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
    """A command took effect that has no event of its own: a setting, a cancel-after."""

    command_id: int
    symbol_id: int


class ContinueNeeded(Struct, tag=14, array_like=True, gc=False):
    """More is to be done: sequence a `Continue` for this symbol before anything else of it."""

    symbol_id: int


class AuctionUncrossed(Struct, tag=15, array_like=True, gc=False):
    """An auction ended: this much traded at this price (0: nothing crossed)."""

    symbol_id: int
    price_ticks: int
    quantity_lots: int


class PhaseChanged(Struct, tag=16, array_like=True, gc=False):
    """A volatility interruption took its next step; `due_ms` is when the one after it is due."""

    symbol_id: int
    phase: int
    due_ms: int


class ReferenceMoved(Struct, tag=17, array_like=True, gc=False):
    """The price band stands around a new reference."""

    symbol_id: int
    reference_ticks: int


class OrderRepriced(Struct, tag=18, array_like=True, gc=False):
    """A post-only order that just came in was moved, to where it does not trade."""

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
