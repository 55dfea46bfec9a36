"""Commands into the engine and events out of it: integers only, immutable by convention.

Units: prices in ticks, quantities in lots, money bounds in tick-lots (ticks x lots), times in
milliseconds since the Unix epoch. A command carries all that the engine needs to apply it. Structs
are arrays in MessagePack: a new optional field is appended at the end with a default, so that old
journals stay readable (`matching/state/codec.py`).
"""

from typing import Final

from msgspec import Struct

from matching.engine.events import (
    AdvancedEvent as AdvancedEvent,
)
from matching.engine.events import (
    AuctionUncrossed as AuctionUncrossed,
)
from matching.engine.events import (
    CommandDone as CommandDone,
)
from matching.engine.events import (
    CommandRefused as CommandRefused,
)
from matching.engine.events import (
    ContinueNeeded as ContinueNeeded,
)
from matching.engine.events import (
    Event as Event,
)
from matching.engine.events import (
    ListAccepted as ListAccepted,
)
from matching.engine.events import (
    OrderAccepted as OrderAccepted,
)
from matching.engine.events import (
    OrderAmended as OrderAmended,
)
from matching.engine.events import (
    OrderCancelled as OrderCancelled,
)
from matching.engine.events import (
    OrderRefreshed as OrderRefreshed,
)
from matching.engine.events import (
    OrderRejected as OrderRejected,
)
from matching.engine.events import (
    OrderRepriced as OrderRepriced,
)
from matching.engine.events import (
    OrderTriggered as OrderTriggered,
)
from matching.engine.events import (
    OrderWaiting as OrderWaiting,
)
from matching.engine.events import (
    PhaseChanged as PhaseChanged,
)
from matching.engine.events import (
    ReferenceMoved as ReferenceMoved,
)
from matching.engine.events import (
    SelfTradePrevented as SelfTradePrevented,
)
from matching.engine.events import (
    StateChanged as StateChanged,
)
from matching.engine.events import (
    Trade as Trade,
)

# Sides. The sign of a side makes one code path serve both (matching/engine/resting.py).
BUY: Final = 0
SELL: Final = 1

# Time in force.
GTC: Final = 0
IOC: Final = 1
FOK: Final = 2

# Self-trade prevention, chosen by the incoming order.
STP_NONE: Final = 0  # market makers only
STP_CANCEL_INCOMING: Final = 1
STP_CANCEL_RESTING: Final = 2
STP_CANCEL_BOTH: Final = 3
STP_DECREMENT: Final = 4  # both orders shrink by the smaller order's lots; the smaller order ends

# What triggers a waiting order. A buy stop waits for a price at or above its stop price, a buy
# take-profit for a price at or below; a sell the other way round. A trailing stop follows the price
# at a distance.
TRIGGER_NONE: Final = 0
TRIGGER_STOP: Final = 1
TRIGGER_TAKE: Final = 2
TRIGGER_TRAILING: Final = 3

# Which price a trigger watches: the last trade's, or the best price the order would trade with.
SOURCE_LAST: Final = 0
SOURCE_BEST: Final = 1

# Lists of orders with a linked life.
OCO: Final = 0  # two orders: when either trades or ends, the other is cancelled
OTO: Final = 1  # the fill of the first order releases the second
OTOCO: Final = 2  # the fill of the first order releases an OCO pair

# Market states of one symbol.
OPEN: Final = 0
HALT: Final = 1
PRE_OPEN: Final = 2
AUCTION: Final = 3
AUCTION_CUTOFF: Final = 4  # an auction that takes no cancels and amends any more
POST_ONLY: Final = 5
CANCEL_ONLY: Final = 6
CLOSED: Final = 7  # for good

# Steps of a volatility interruption.
PHASE_NONE: Final = 0
PHASE_LIMIT: Final = 1  # trading goes on, but only inside the band
PHASE_PAUSE: Final = 2
PHASE_CALL: Final = 3  # the auction that ends the interruption

# Switches of behaviour, per symbol. Off until a command sets them: old journals keep old rules.
FEATURE_REPORT_PREVENTED: Final = 1  # STP_CANCEL_INCOMING also reports the prevented match
FEATURE_HALT_KEEPS_ORDERS: Final = 2  # a halted symbol refuses cancels
FEATURES: Final = (FEATURE_REPORT_PREVENTED, FEATURE_HALT_KEEPS_ORDERS)

ALL_ACCOUNTS: Final = -1
PPM: Final = 1_000_000

# Why the engine refused or ended something. Stable strings: they reach the API unchanged.
DUPLICATE_ORDER_ID: Final = "order.duplicate_id"
POST_ONLY_WOULD_TAKE: Final = "order.post_only_would_take"
FOK_UNFILLABLE: Final = "order.fok_unfillable"
SELF_TRADE: Final = "order.self_trade"
SYMBOL_HALTED: Final = "symbol.halted"
NOT_OPEN: Final = "order.not_open"
AMEND_BELOW_FILLED: Final = "order.amend_below_filled"
NO_PRIORITY_KEPT: Final = "order.priority_needs_reduction"
ENGINE_FAULT: Final = "engine.fault"

# Why an order ended without being filled.
BY_USER: Final = "order.cancelled_by_user"
BY_CANCEL_ALL: Final = "order.cancelled_by_cancel_all"
IOC_REST: Final = "order.ioc_rest"
MARKET_REST: Final = "order.insufficient_liquidity"
BUDGET_SPENT: Final = "order.quote_amount_spent"


class Terms(Struct, array_like=True, gc=False):
    """Terms that only some orders have; 0 or False where the order does not have the term.

    An order with a trigger waits outside the book until a price reaches the trigger. `trail_ticks`
    or `trail_ppm` is the distance of a trailing stop, which follows the price at once, or after
    `activation_ticks` is reached. `display_lots` makes the order an iceberg. An `Expire` command
    ends the order from `expire_ms` on. `reprice` moves a post-only order that would trade to one
    tick before the best opposite price, no further than `reprice_limit_ticks`.
    `bound_ppm` lets the bound of a trailing market order follow its stop price at that distance.
    """

    trigger: int = TRIGGER_NONE
    stop_ticks: int = 0
    source: int = SOURCE_LAST
    trail_ticks: int = 0
    trail_ppm: int = 0
    activation_ticks: int = 0
    display_lots: int = 0
    expire_ms: int = 0
    reprice: bool = False
    bound_ppm: int = 0
    reprice_limit_ticks: int = 0

    def check(self, place: "Place") -> None:
        """Assert that the terms fit together and fit their order, as validation has seen to."""
        is_trailing = self.trigger == TRIGGER_TRAILING
        assert 0 <= self.trigger <= TRIGGER_TRAILING
        assert (self.stop_ticks > 0) == (self.trigger in (TRIGGER_STOP, TRIGGER_TAKE))
        assert (self.trail_ticks > 0 or 0 < self.trail_ppm < PPM) == is_trailing
        assert not (self.trail_ticks and self.trail_ppm)
        assert self.activation_ticks >= 0
        assert 0 <= self.source <= SOURCE_BEST
        assert self.display_lots == 0 or place.time_in_force == GTC
        assert self.display_lots >= 0
        assert self.expire_ms >= 0
        assert not self.reprice or place.post_only
        assert self.reprice_limit_ticks >= 0
        assert 0 <= self.bound_ppm < PPM
        assert not self.bound_ppm or (place.market and is_trailing)


NO_TERMS: Final = Terms()


class Place(Struct, tag=1, array_like=True, gc=False):
    """Enter an order. A market order is an IOC whose `price_ticks` is its protective bound.

    `budget_ticklots` > 0 makes it a market order by quote amount, which spends at most that many
    tick-lots; its `quantity_lots` is 0. All other orders have `quantity_lots` > 0.
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
    group_id: int = 0  # accounts of one group count as one for self-trade prevention; 0: none
    owner_tag: int = 0  # selects orders in mass cancels, for instance by API key; 0: none
    terms: Terms | None = None


class Cancel(Struct, tag=2, array_like=True, gc=False):
    """Cancel one open order, in the book or waiting."""

    command_id: int
    time_ms: int
    symbol_id: int
    order_id: int


class Amend(Struct, tag=3, array_like=True, gc=False):
    """Give an open order new terms. `quantity_lots` is the new total, filled lots included.

    The order goes to the back of its queue and may trade at once. With `keep_priority` it keeps its
    place, and the amend is refused unless the price is unchanged and the quantity smaller.
    A field that is 0 leaves the order's value as it is.
    """

    command_id: int
    time_ms: int
    symbol_id: int
    order_id: int
    price_ticks: int = 0
    quantity_lots: int = 0
    keep_priority: bool = False
    stop_ticks: int = 0  # only for a waiting stop or take-profit
    display_lots: int = 0


class CancelAll(Struct, tag=4, array_like=True, gc=False):
    """Cancel the open orders of an account, or of all accounts, on one symbol or one side of it.

    With `owner_tag`, cancel only the orders that were placed with that tag.
    """

    command_id: int
    time_ms: int
    symbol_id: int
    account_id: int
    side: int = -1  # -1: both
    owner_tag: int = 0  # 0: any tag


class SetState(Struct, tag=5, array_like=True, gc=False):
    """Move a symbol to another market state (halt, resume)."""

    command_id: int
    time_ms: int
    symbol_id: int
    state: int


class RefuseFaulty(Struct, tag=6, array_like=True, gc=False):
    """Refuse a command on which the engine raised; the journal has this command in its place."""

    command_id: int
    time_ms: int
    symbol_id: int
    order_id: int  # 0 when the command was not about one order
    is_place: bool


class PlaceList(Struct, tag=7, array_like=True, gc=False):
    """Enter all orders of a list of linked orders, or none of them.

    An OCO has two orders, at least one of them with a trigger. OTO and OTOCO begin with the parent,
    whose fill releases the other one or two. Each order is GTC or waits for a trigger.
    """

    command_id: int  # equals list_id
    time_ms: int
    symbol_id: int
    list_id: int
    kind: int
    orders: list[Place]


class Expire(Struct, tag=8, array_like=True, gc=False):
    """Set the time to `time_ms` and end one order that has expired, or do everything that is due.

    With `order_id` 0 this ends every expired order, fires every due cancel-after, and takes the
    next step of a volatility interruption if that is due.
    """

    command_id: int
    time_ms: int
    symbol_id: int
    order_id: int = 0


class CancelAfter(Struct, tag=9, array_like=True, gc=False):
    """Set a cancel-after: an `Expire` from `due_ms` on cancels the account's orders. 0 clears."""

    command_id: int
    time_ms: int
    symbol_id: int
    account_id: int
    due_ms: int
    owner_tag: int = 0


class Continue(Struct, tag=10, array_like=True, gc=False):
    """Go on with the work that `ContinueNeeded` announced. The worker sequences it next."""

    command_id: int
    time_ms: int
    symbol_id: int


class SetFeature(Struct, tag=11, array_like=True, gc=False):
    """Switch a feature of one symbol on or off, from this place in the sequence on."""

    command_id: int
    time_ms: int
    symbol_id: int
    feature: int
    is_on: bool


class SetBand(Struct, tag=12, array_like=True, gc=False):
    """Give a symbol a price band, or remove its band (`band_ppm` 0).

    `reference_ticks` 0 keeps the present reference; where there is none the next trades set it.
    `limit_ms` 0 means a band without volatility interruptions. With `both_sides` a limit price must
    be inside the band also on the side that is better for its owner.
    """

    command_id: int
    time_ms: int
    symbol_id: int
    band_ppm: int
    reference_ticks: int = 0
    move_ppm: int = 10_000
    move_after_ms: int = 30_000
    limit_ms: int = 0
    pause_ms: int = 0
    call_ms: int = 0
    both_sides: bool = False


class SetLimits(Struct, tag=13, array_like=True, gc=False):
    """Bound the open orders of an account on one symbol, and its waiting orders among them.

    ALL_ACCOUNTS sets the limits of accounts without limits of their own. 0 means no bound.
    """

    command_id: int
    time_ms: int
    symbol_id: int
    account_id: int
    open_orders_max: int
    stop_orders_max: int


Command = (
    Place
    | Cancel
    | Amend
    | CancelAll
    | SetState
    | RefuseFaulty
    | PlaceList
    | Expire
    | CancelAfter
    | Continue
    | SetFeature
    | SetBand
    | SetLimits
)
