"""Commands into the engine and events out of it: integers only, immutable by convention.

Units: prices in ticks, quantities in lots, money bounds in tick-lots (ticks x lots), times in
milliseconds since the Unix epoch. Every command carries all that the engine needs; the engine
never asks for anything else. Structs are array-like in MessagePack, so a new optional field is
appended at the end with a default and old journals stay readable (`matching/state/codec.py`).
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
STP_DECREMENT: Final = 4  # both shrink by the smaller one, which ends

# What triggers a waiting order. A buy stop waits for a price at or above its own, a buy take-profit
# for one at or below; sells the other way round. A trailing stop follows the price at a distance.
TRIGGER_NONE: Final = 0
TRIGGER_STOP: Final = 1
TRIGGER_TAKE: Final = 2
TRIGGER_TRAILING: Final = 3

# Which price a trigger watches: the last trade's, or the best price the order would trade with.
SOURCE_LAST: Final = 0
SOURCE_BEST: Final = 1

# Lists of orders with a linked life.
OCO: Final = 0  # two orders: one trades or ends, the other is cancelled
OTO: Final = 1  # the first one filled releases the second
OTOCO: Final = 2  # the first one filled releases a pair of which one cancels the other

# Market states of one symbol.
OPEN: Final = 0
HALT: Final = 1
PRE_OPEN: Final = 2
AUCTION: Final = 3
AUCTION_CUTOFF: Final = 4  # an auction that takes no cancels and amends any more
POST_ONLY: Final = 5
CANCEL_ONLY: Final = 6
CLOSED: Final = 7  # final

# Steps of a volatility interruption.
PHASE_NONE: Final = 0
PHASE_LIMIT: Final = 1  # trading goes on, but only inside the band
PHASE_PAUSE: Final = 2
PHASE_CALL: Final = 3  # the auction that ends it

# Switches of behaviour, per symbol. Off until a command says so: old journals keep old rules.
FEATURE_REPORT_PREVENTED: Final = 1  # STP_CANCEL_INCOMING, too, tells of the match it prevented
FEATURE_HALT_KEEPS_ORDERS: Final = 2  # a halted symbol refuses cancels
FEATURES: Final = (FEATURE_REPORT_PREVENTED, FEATURE_HALT_KEEPS_ORDERS)

ALL_ACCOUNTS: Final = -1

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
    """What only some orders have. 0 and False mean: not this one.

    A trigger makes the order wait outside the book until it is reached. `trail_ticks` or
    `trail_ppm` is the distance of a trailing stop, which follows from the start or from
    `activation_ticks` on.
    `display_lots` makes an iceberg. `expire_ms` ends the order by an `Expire` command. `reprice`
    moves a post-only order that would trade to one tick before the best opposite price, no further
    than `reprice_limit_ticks`. `bound_ppm` lets the bound of a trailing market order follow its
    stop price at that distance.
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
    group_id: int = 0  # accounts of one group count as one for self-trade prevention; 0: none
    owner_tag: int = 0  # for mass cancels, for instance the API key; 0: none
    terms: Terms | None = None


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
    stop_ticks: int = 0  # of a stop or take-profit that waits
    display_lots: int = 0


class CancelAll(Struct, tag=4, array_like=True, gc=False):
    """Cancel every open order of an account, or of all, on one symbol, or on one side of it.

    With `owner_tag` only those that were placed with it.
    """

    command_id: int
    time_ms: int
    symbol_id: int
    account_id: int
    side: int = -1  # -1: both
    owner_tag: int = 0  # 0: whatever theirs is


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


class PlaceList(Struct, tag=7, array_like=True, gc=False):
    """Enter orders with a linked life: all of them, or none.

    OCO has two, at least one of them with a trigger; OTO and OTOCO lead with the order whose fill
    releases the other one or two. The orders are GTC or wait for a trigger.
    """

    command_id: int  # equals list_id
    time_ms: int
    symbol_id: int
    list_id: int
    kind: int
    orders: list[Place]


class Expire(Struct, tag=8, array_like=True, gc=False):
    """Say that it is `time_ms`: end one order whose time has come, or all that is due.

    With `order_id` 0 that is every GTD order, every cancel-after, and the next step of a
    volatility interruption, as far as each is due.
    """

    command_id: int
    time_ms: int
    symbol_id: int
    order_id: int = 0


class CancelAfter(Struct, tag=9, array_like=True, gc=False):
    """Set a cancel-after: an `Expire` at `due_ms` cancels the account's orders. 0 clears."""

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
    """Switch a behaviour of one symbol on or off, from this place in the sequence on."""

    command_id: int
    time_ms: int
    symbol_id: int
    feature: int
    is_on: bool


class SetBand(Struct, tag=12, array_like=True, gc=False):
    """Give a symbol its price band, or take it away (`band_ppm` 0).

    `reference_ticks` 0 keeps the present reference, or lets the next trade be the first one.
    `limit_ms` 0 means a band without volatility interruptions. `both_sides` binds limits on their
    better side as well.
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
    """Bound the open orders, and those of them that wait, of an account on one symbol.

    ALL_ACCOUNTS sets what holds for accounts without limits of their own. 0 means no bound.
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
