"""Protocol of `/ws`: parsing of messages, answers, limits and close codes. Pure.

A message is one JSON object with an `op`; an answer repeats its `id`. Refusals carry the stable
codes of `exchange.domain.codes` and leave the connection open, unless a close code says otherwise.
"""

import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

import msgspec

from exchange.domain.codes import Code
from exchange.domain.duplicates import duplicates_check
from exchange.domain.errors import DomainError

MESSAGE_BYTES_MAX: Final = 4_096
SUBSCRIPTIONS_MAX: Final = 50  # channels of one connection
MESSAGES_PER_SECOND: Final = 10
MESSAGES_BURST: Final = 30
REFUSED_MESSAGES_MAX: Final = 20  # refusals over the rate limit before the close
# Frames at once, control frames included: as many as messages, refused messages included.
FRAMES_BURST: Final = MESSAGES_BURST + REFUSED_MESSAGES_MAX

LOGIN_PATH: Final = "/ws"

PUBLIC_KINDS: Final = frozenset({"depth", "trade", "state"})
PRIVATE_CHANNELS: Final = frozenset({"orders", "balances"})
CHANNEL_SHOWN_CHARS: Final = 64
_SYMBOL: Final = re.compile(r"[A-Z0-9]{2,12}-[A-Z0-9]{2,12}", re.ASCII).fullmatch


class CloseCode(IntEnum):
    """Why the server ended a connection (4000-4999 is the range for applications)."""

    MESSAGE_INVALID = 4400
    SESSION_ENDED = 4401
    TOO_SLOW = 4408
    IDLE = 4410
    TOO_MANY_MESSAGES = 4429
    TOO_MANY_SOCKETS = 4430
    FULL = 4503


class Subscribe(msgspec.Struct, tag_field="op", tag="subscribe", forbid_unknown_fields=True):
    """Asks for the frames of channels."""

    channels: list[str]
    id: int | str | None = None


class Unsubscribe(msgspec.Struct, tag_field="op", tag="unsubscribe", forbid_unknown_fields=True):
    """Asks for no more frames of channels."""

    channels: list[str]
    id: int | str | None = None


class Login(msgspec.Struct, tag_field="op", tag="login", forbid_unknown_fields=True):
    """Signed like a request: HMAC over `timestamp\\nGET\\n/ws\\n` + sha256 of the empty body."""

    key: str
    timestamp: int | str
    signature: str
    id: int | str | None = None


class Ping(msgspec.Struct, tag_field="op", tag="ping", forbid_unknown_fields=True):
    """Asks for a pong with the server's time."""

    id: int | str | None = None


Message = Subscribe | Unsubscribe | Login | Ping
_decode = msgspec.json.Decoder(Message).decode
_encode = msgspec.json.Encoder().encode


def message_parse(text: str) -> Message:
    """Decode one client message. Raises feed.message_invalid and request.duplicate_field."""
    try:
        message: Message = _decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DomainError(Code.FEED_MESSAGE_INVALID) from error
    duplicates_check(text.encode())
    return message


def channel_symbol(channel: str) -> str | None:
    """Return the symbol of a public channel such as `BTC-USDT@depth`; None for a private one.

    Raises feed.unknown_channel for anything that cannot be a channel.
    """
    if channel in PRIVATE_CHANNELS:
        return None
    symbol, _, kind = channel.partition("@")
    if kind not in PUBLIC_KINDS or not _SYMBOL(symbol):
        raise channel_unknown(channel)
    return symbol


def channel_unknown(channel: str) -> DomainError:
    """Return the refusal of a channel; it names CHANNEL_SHOWN_CHARS of the channel at most."""
    return DomainError(Code.FEED_UNKNOWN_CHANNEL, channel=channel[:CHANNEL_SHOWN_CHARS])


def answer(kind: str, *, message_id: int | str | None = None, **values: object) -> str:
    """Return an answer frame as text; it repeats the client's `id`, if any."""
    body: dict[str, object] = {"type": kind, **values}
    if message_id is not None:
        body["id"] = message_id
    return _encode(body).decode()


def answer_channels(kind: str, channels: Iterable[str], message_id: int | str | None) -> str:
    """Return an answer frame that lists channels."""
    return answer(kind, message_id=message_id, channels=sorted(channels))


def answer_error(error: DomainError, message_id: int | str | None = None) -> str:
    """Return an answer frame that tells a refusal."""
    return answer(
        "error",
        message_id=message_id,
        code=error.code.value,
        detail=error.detail,
        params=error.params,
    )


class TokenBucket:
    """A bucket of `burst` tokens, refilled at `per_second`; callers pass the time in seconds."""

    def __init__(self, *, per_second: int, burst: int, now_s: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        """Take a token; return whether there was one."""
        refill = max(0.0, now_s - self._at_s) * self._per_second
        self._tokens = min(float(self._burst), self._tokens + refill)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
