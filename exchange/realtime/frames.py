"""Frames of the feed, each built and serialized once.

Pure: plain integers and text in, JSON bytes out. A frame travels as (topic, bytes); the WebSocket
process forwards the bytes as they are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from exchange.domain.ids import time_ms_text
from exchange.domain.units import SymbolUnits

STATE_SUFFIX: Final = "@state"
# The same texts recur: a trade's numbers in several rows and frames, its price in many trades.
TEXTS_KEPT: Final = 16_384

Frame = tuple[str, bytes]
Level = tuple[int, int]  # price ticks, quantity lots
Scaled = tuple[int, int, int]  # a decimal step: integer, divisor, digits of the divisor


class MarketState(NamedTuple):
    """The content of a state frame; 0 stands for "none"."""

    state: str = "open"
    phase: str = "none"  # of a volatility interruption
    due_ms: int = 0  # when the interruption's next step comes
    indicative_ticks: int = 0  # the auction's price, if it ended now
    indicative_lots: int = 0
    reference_ticks: int = 0  # the reference of the price band
    uncross_ticks: int = 0  # the price of the last uncross
    uncross_lots: int = 0


PLAIN_MARKET: Final = MarketState()  # open, and nothing else set

_json: Final = msgspec.json.Encoder()
_msgpack: Final = msgspec.msgpack.Encoder()
_frames_decoder: Final = msgspec.msgpack.Decoder(list[tuple[str, bytes]])


@dataclass(slots=True, eq=False)
class SymbolText:
    """Formats a symbol's ticks, lots and quote sums as decimals, fast: for thousands of levels.

    Exact, because ticks and lots are whole multiples of a power of ten.
    """

    units: SymbolUnits
    code: str = field(init=False)
    _tick: Scaled = field(init=False)
    _lot: Scaled = field(init=False)
    _quote: Scaled = field(init=False)

    def __post_init__(self) -> None:
        units = self.units
        self.code = units.code
        self._tick = _scaled(units.tick)
        self._lot = _scaled(units.lot)
        self._quote = (units.quote_atoms_per_ticklot, 10**units.quote_scale, units.quote_scale)

    def price(self, price_ticks: int) -> str:
        return _text(price_ticks, self._tick)

    def quantity(self, quantity_lots: int) -> str:
        return _text(quantity_lots, self._lot)

    def quote(self, ticklots: int) -> str:
        return _text(ticklots, self._quote)

    def levels(self, levels: Iterable[Level]) -> list[tuple[str, str]]:
        tick, lot = self._tick, self._lot
        return [(_text(price, tick), _text(quantity, lot)) for price, quantity in levels]


def depth_topic(symbol: str) -> str:
    return f"{symbol}@depth"


def trade_topic(symbol: str) -> str:
    return f"{symbol}@trade"


def state_topic(symbol: str) -> str:
    return f"{symbol}{STATE_SUFFIX}"


def account_topic(account_id: int) -> str:
    return f"account:{account_id}"


def depth_delta(
    text: SymbolText,
    *,
    sequence: int,
    time: str,
    bids: Iterable[Level],
    asks: Iterable[Level],
) -> Frame:
    """Return a delta: changed levels with their new totals; quantity "0" removes a level."""
    topic = depth_topic(text.code)
    body = {
        "channel": topic,
        "type": "delta",
        "sequence": sequence,
        "previous": sequence - 1,
        "time": time,
        "bids": text.levels(bids),
        "asks": text.levels(asks),
    }
    return topic, _json.encode(body)


def depth_snapshot(
    text: SymbolText,
    *,
    sequence: int,
    time: str,
    bids: Iterable[Level],
    asks: Iterable[Level],
) -> bytes:
    """Return the book, best prices first, as it is after the delta with the same sequence."""
    body = {
        "channel": depth_topic(text.code),
        "type": "snapshot",
        "sequence": sequence,
        "time": time,
        "bids": text.levels(bids),
        "asks": text.levels(asks),
    }
    return _json.encode(body)


def trade_frame(
    text: SymbolText,
    *,
    trade_id: int,
    price_ticks: int,
    quantity_lots: int,
    taker_side: str,
    time: str,
) -> Frame:
    topic = trade_topic(text.code)
    body = {
        "channel": topic,
        "type": "trade",
        "id": str(trade_id),
        "price": text.price(price_ticks),
        "quantity": text.quantity(quantity_lots),
        "taker_side": taker_side,
        "time": time,
    }
    return topic, _json.encode(body)


def state_frame(text: SymbolText, market: MarketState, *, time: str) -> Frame:
    """Return the whole market state; each state frame replaces the frame before it."""
    topic = state_topic(text.code)
    body = {
        "channel": topic,
        "type": "state",
        "state": market.state,
        "phase": market.phase,
        "due_at": time_ms_text(market.due_ms) if market.due_ms else None,
        "indicative_price": _if_any(text.price, market.indicative_ticks),
        "indicative_quantity": _if_any(text.quantity, market.indicative_lots),
        "reference_price": _if_any(text.price, market.reference_ticks),
        "uncross_price": _if_any(text.price, market.uncross_ticks),
        "uncross_quantity": _if_any(text.quantity, market.uncross_lots),
        "time": time,
    }
    return topic, _json.encode(body)


def _if_any(text_of: Callable[[int], str], count: int) -> str | None:
    return text_of(count) if count else None


def order_frame(
    account_id: int, *, order: Mapping[str, Any], fills: Sequence[Mapping[str, str]]
) -> Frame:
    """Return an account's order as REST shows it, with its fills since its last frame."""
    body = {"channel": "orders", "type": "order", "order": order, "fills": fills}
    return account_topic(account_id), _json.encode(body)


def command_frame(account_id: int, *, command: Mapping[str, Any]) -> Frame:
    """Return the outcome of an account's command as REST shows it."""
    body = {"channel": "orders", "type": "command", "command": command}
    return account_topic(account_id), _json.encode(body)


def balance_frame(
    account_id: int, *, asset: str, available: str, reserved: str, sequence: int
) -> Frame:
    """Return an account's balance after a settlement; `sequence` grows with each change."""
    body = {
        "channel": "balances",
        "type": "balance",
        "asset": asset,
        "available": available,
        "reserved": reserved,
        "sequence": sequence,
    }
    return account_topic(account_id), _json.encode(body)


def encode_frames(frames: Sequence[Frame]) -> bytes:
    """Return frames as one message: a MessagePack list of [topic, frame]."""
    return _msgpack.encode(frames)


def decode_frames(data: bytes) -> list[Frame]:
    """Return the frames of one message; raises msgspec.DecodeError for other bytes."""
    return _frames_decoder.decode(data)


def _scaled(step: Decimal) -> Scaled:
    """Return a decimal step as (integer, divisor, digits of the divisor): 0.05 -> (5, 100, 2)."""
    step = step.normalize()
    exponent = step.as_tuple().exponent
    assert isinstance(exponent, int)
    digits = max(0, -exponent)
    return int(step.scaleb(digits)), 10**digits, digits


@lru_cache(TEXTS_KEPT)
def _text(count: int, step: Scaled) -> str:
    factor, unit, digits = step
    whole, part = divmod(count * factor, unit)
    if not part:
        return str(whole)
    return f"{whole}.{part:0{digits}d}".rstrip("0")
