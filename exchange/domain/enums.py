"""The closed sets of words that appear in the database, the API and the docs alike."""

from enum import StrEnum


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    LIMIT = "limit"
    MARKET = "market"


class TimeInForce(StrEnum):
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class SelfTradePrevention(StrEnum):
    NONE = "none"
    CANCEL_INCOMING = "cancel_incoming"


class OrderStatus(StrEnum):
    NEW = "new"  # durable, not yet sequenced by the engine
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


LIVE_STATUSES = frozenset({OrderStatus.NEW, OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED})
RESTING_STATUSES = frozenset({OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED})
FINAL_STATUSES = frozenset(OrderStatus) - LIVE_STATUSES


class SymbolState(StrEnum):
    OPEN = "open"
    HALT = "halt"


class CommandKind(StrEnum):
    CANCEL = "cancel"
    AMEND = "amend"
    CANCEL_ALL = "cancel_all"
    SET_STATE = "set_state"


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
