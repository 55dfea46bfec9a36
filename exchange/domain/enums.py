"""The closed sets of words that appear in the database, the API and the docs alike."""

from enum import StrEnum


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    LIMIT = "limit"
    MARKET = "market"
    STOP_MARKET = "stop_market"
    STOP_LIMIT = "stop_limit"
    TAKE_PROFIT = "take_profit"
    TAKE_PROFIT_LIMIT = "take_profit_limit"
    TRAILING_STOP = "trailing_stop"


# These wait for a price; what wakes them is in their terms.
TRIGGER_TYPES = frozenset(OrderType) - {OrderType.LIMIT, OrderType.MARKET}
# These have a limit price; the others trade as market orders, within a protective bound.
LIMIT_TYPES = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT})


class TriggerSource(StrEnum):
    LAST = "last"  # the last trade's price
    BEST = "best"  # the best price that the order would trade with


class TimeInForce(StrEnum):
    GTC = "gtc"
    GTD = "gtd"
    IOC = "ioc"
    FOK = "fok"


class ListKind(StrEnum):
    OCO = "oco"  # one cancels the other
    OTO = "oto"  # one triggers the other
    OTOCO = "otoco"  # one triggers a pair of which one cancels the other


class SelfTradePrevention(StrEnum):
    NONE = "none"  # market makers only
    CANCEL_INCOMING = "cancel_incoming"
    CANCEL_RESTING = "cancel_resting"
    CANCEL_BOTH = "cancel_both"
    DECREMENT = "decrement"  # both shrink by the smaller one, which ends


class OrderStatus(StrEnum):
    NEW = "new"  # durable, not yet sequenced by the engine
    WAITING = "waiting"  # accepted by the engine, outside the book: for a trigger or for its list
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


LIVE_STATUSES = frozenset(
    {OrderStatus.NEW, OrderStatus.WAITING, OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED}
)
RESTING_STATUSES = frozenset({OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED})
FINAL_STATUSES = frozenset(OrderStatus) - LIVE_STATUSES


class SymbolState(StrEnum):
    OPEN = "open"
    HALT = "halt"
    PRE_OPEN = "pre_open"  # orders gather, nothing trades
    AUCTION = "auction"  # orders gather for one price
    AUCTION_CUTOFF = "auction_cutoff"  # as before, but none is cancelled or amended any more
    POST_ONLY = "post_only"
    CANCEL_ONLY = "cancel_only"
    CLOSED = "closed"  # for ever: a delisting


class CommandKind(StrEnum):
    CANCEL = "cancel"
    AMEND = "amend"
    CANCEL_ALL = "cancel_all"
    SET_STATE = "set_state"
    CANCEL_AFTER = "cancel_after"
    SET_BAND = "set_band"
    SET_LIMITS = "set_limits"
    SET_FEATURE = "set_feature"


class CommandState(StrEnum):
    PENDING = "pending"  # durable, on its way to the engine
    DONE = "done"
    REFUSED = "refused"


class AccountKind(StrEnum):
    USER = "user"
    HOUSE = "house"  # fees earned
    EXTERNAL = "external"  # the world outside: the other side of deposits and withdrawals


class EntryKind(StrEnum):
    TRADE = "trade"
    FEE = "fee"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    ADJUSTMENT = "adjustment"


class Scope(StrEnum):
    READ = "read"
    TRADE = "trade"
