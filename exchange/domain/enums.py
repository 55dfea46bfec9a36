"""Closed sets of words: the database, the API and the docs use the same."""

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


# Orders of these types wait for a price; their terms name the trigger.
TRIGGER_TYPES = frozenset(OrderType) - {OrderType.LIMIT, OrderType.MARKET}
# Orders of these types have a limit price; others trade as market orders within a price bound.
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
    OTOCO = "otoco"  # one triggers a pair, of which one cancels the other


class SelfTradePrevention(StrEnum):
    NONE = "none"  # market makers only
    CANCEL_INCOMING = "cancel_incoming"
    CANCEL_RESTING = "cancel_resting"
    CANCEL_BOTH = "cancel_both"
    DECREMENT = "decrement"  # both shrink by the smaller quantity; the smaller order ends


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
    AUCTION_CUTOFF = "auction_cutoff"  # an auction without cancels and amends
    POST_ONLY = "post_only"
    CANCEL_ONLY = "cancel_only"
    CLOSED = "closed"  # for ever, at a delisting


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
    HOUSE = "house"  # earns the fees
    EXTERNAL = "external"  # the counterpart of deposits and withdrawals
    FUNDING = "funding"  # the counterpart of credits and debits by staff


class EntryKind(StrEnum):
    TRADE = "trade"
    FEE = "fee"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    ADJUSTMENT = "adjustment"
    FUNDING = "funding"  # a credit or debit by staff


class Scope(StrEnum):
    READ = "read"
    TRADE = "trade"


class SecurityKind(StrEnum):
    """Kinds of security events (exchange/access/security_events.py)."""

    SIGN_IN = "sign_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGN_OUT = "sign_out"
    SESSIONS_ENDED = "sessions_ended"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 # nosec B105 - a word
    KEY_MADE = "key_made"
    KEY_REVOKED = "key_revoked"
    USER_MADE = "user_made"
    SUSPENDED = "suspended"
    UNSUSPENDED = "unsuspended"
    DEACTIVATED = "deactivated"
    REACTIVATED = "reactivated"
    FUNDS_MOVED = "funds_moved"
    STAFF_ADDED = "staff_added"
    STAFF_CHANGED = "staff_changed"
    STAFF_DELETED = "staff_deleted"
    STAFF_ACTED = "staff_acted"  # an act that changes no row of the back office, such as a command
