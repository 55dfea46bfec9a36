"""Tables between the words of rows and of the API and the integers of the engine."""

from typing import Final

from exchange.domain.enums import (
    ListKind,
    OrderType,
    SelfTradePrevention,
    Side,
    SymbolState,
    TimeInForce,
    TriggerSource,
)
from matching.engine import messages

SIDES: Final = {Side.BUY: messages.BUY, Side.SELL: messages.SELL}
# To the engine a gtd order is a gtc order with an expiry time.
TIMES_IN_FORCE: Final = {
    TimeInForce.GTC: messages.GTC,
    TimeInForce.GTD: messages.GTC,
    TimeInForce.IOC: messages.IOC,
    TimeInForce.FOK: messages.FOK,
}
SELF_TRADES: Final = {
    SelfTradePrevention.NONE: messages.STP_NONE,
    SelfTradePrevention.CANCEL_INCOMING: messages.STP_CANCEL_INCOMING,
    SelfTradePrevention.CANCEL_RESTING: messages.STP_CANCEL_RESTING,
    SelfTradePrevention.CANCEL_BOTH: messages.STP_CANCEL_BOTH,
    SelfTradePrevention.DECREMENT: messages.STP_DECREMENT,
}
TRIGGERS: Final = {
    OrderType.LIMIT: messages.TRIGGER_NONE,
    OrderType.MARKET: messages.TRIGGER_NONE,
    OrderType.STOP_MARKET: messages.TRIGGER_STOP,
    OrderType.STOP_LIMIT: messages.TRIGGER_STOP,
    OrderType.TAKE_PROFIT: messages.TRIGGER_TAKE,
    OrderType.TAKE_PROFIT_LIMIT: messages.TRIGGER_TAKE,
    OrderType.TRAILING_STOP: messages.TRIGGER_TRAILING,
}
SOURCES: Final = {
    TriggerSource.LAST: messages.SOURCE_LAST,
    TriggerSource.BEST: messages.SOURCE_BEST,
}
LIST_KINDS: Final = {
    ListKind.OCO: messages.OCO,
    ListKind.OTO: messages.OTO,
    ListKind.OTOCO: messages.OTOCO,
}
STATES: Final = {
    SymbolState.OPEN: messages.OPEN,
    SymbolState.HALT: messages.HALT,
    SymbolState.PRE_OPEN: messages.PRE_OPEN,
    SymbolState.AUCTION: messages.AUCTION,
    SymbolState.AUCTION_CUTOFF: messages.AUCTION_CUTOFF,
    SymbolState.POST_ONLY: messages.POST_ONLY,
    SymbolState.CANCEL_ONLY: messages.CANCEL_ONLY,
    SymbolState.CLOSED: messages.CLOSED,
}
assert [set(table) for table in (SIDES, TIMES_IN_FORCE, SELF_TRADES, TRIGGERS)] == [
    set(Side),
    set(TimeInForce),
    set(SelfTradePrevention),
    set(OrderType),
]
assert [set(table) for table in (SOURCES, LIST_KINDS, STATES)] == [
    set(TriggerSource),
    set(ListKind),
    set(SymbolState),
]

SIDE_TEXTS: Final = {code: word.value for word, code in SIDES.items()}
SOURCE_TEXTS: Final = {code: word.value for word, code in SOURCES.items()}
SELF_TRADE_TEXTS: Final = {code: word.value for word, code in SELF_TRADES.items()}
STATE_TEXTS: Final = {code: word.value for word, code in STATES.items()}
