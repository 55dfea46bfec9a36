"""Bodies of requests, read whole on the event loop: bounded in size, time, pieces and number.

A slow sender holds a connection and the few kilobytes that it sent: no thread, no lock. When too
many bodies are being read, from one network or in all, the one that has been under way the longest
gives way, unless it has only just begun; then the new one is refused.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.metrics import WEB_BODIES

Receive = Callable[[], Awaitable[dict[str, Any]]]

BODIES_MAX: Final = 512
BODIES_PER_NETWORK_MAX: Final = 128
BODY_SECONDS: Final = 5.0  # for any body, and ...
BODY_BYTES_PER_SECOND_MIN: Final = 16 * 1024  # ... as much more as it takes at this rate
GRACE_SECONDS: Final = 1.0  # so long a body may take before it can be made to give way
# Each piece costs the loop a turn: a body of single bytes would be work without end.
PIECES_MIN: Final = 64
PIECE_BYTES: Final = 256


class ClientGone(Exception):
    """The client went away before its request was complete: there is nobody to answer."""


@dataclass(eq=False, slots=True)
class _Reading:
    network: str
    began_s: float
    deadline: asyncio.Timeout


class Bodies:
    """All bodies that are being read in this process, the oldest first."""

    def __init__(
        self,
        *,
        total_max: int = BODIES_MAX,
        per_network_max: int = BODIES_PER_NETWORK_MAX,
        seconds: float = BODY_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._total_max = total_max
        self._per_network_max = per_network_max
        self._seconds = seconds
        self._grace_seconds = grace_seconds
        self._readings: dict[_Reading, None] = {}
        self._by_network: dict[str, dict[_Reading, None]] = {}

    def __len__(self) -> int:
        return len(self._readings)

    async def read(self, receive: Receive, length: int, network: str) -> bytes:
        """The body of so many bytes. Raises request.too_slow, server.busy and ClientGone."""
        now_s = asyncio.get_running_loop().time()
        self._make_room(network, now_s)
        deadline = asyncio.timeout(self._seconds + length / BODY_BYTES_PER_SECOND_MIN)
        reading = _Reading(network, now_s, deadline)
        try:
            async with deadline:
                self._enter(reading)
                return await _whole(receive, length)
        except TimeoutError as error:
            raise DomainError(Code.REQUEST_TOO_SLOW) from error
        finally:
            self._leave(reading)

    def _enter(self, reading: _Reading) -> None:
        self._readings[reading] = None
        self._by_network.setdefault(reading.network, {})[reading] = None
        WEB_BODIES.set(len(self._readings))

    def _leave(self, reading: _Reading) -> None:
        if reading not in self._readings:
            return  # it was made to give way
        del self._readings[reading]
        theirs = self._by_network[reading.network]
        del theirs[reading]
        if not theirs:
            del self._by_network[reading.network]
        WEB_BODIES.set(len(self._readings))

    def _make_room(self, network: str, now_s: float) -> None:
        theirs = self._by_network.get(network, {})
        if len(theirs) >= self._per_network_max:
            self._give_way(next(iter(theirs)), now_s)
        elif len(self._readings) >= self._total_max:
            self._give_way(next(iter(self._readings)), now_s)

    def _give_way(self, oldest: _Reading, now_s: float) -> None:
        if now_s - oldest.began_s < self._grace_seconds:
            raise DomainError(Code.SERVER_BUSY)
        self._leave(oldest)
        if not oldest.deadline.expired():
            oldest.deadline.reschedule(now_s)


async def _whole(receive: Receive, length: int) -> bytes:
    """Read until there is as much as was promised: the message after that would say no more."""
    body = _bytes_of(await receive())
    if len(body) < length:
        gathered, pieces = bytearray(body), 1
        while len(gathered) < length:
            gathered += _bytes_of(await receive())
            pieces += 1
            if pieces > PIECES_MIN + length // PIECE_BYTES:
                raise DomainError(Code.REQUEST_TOO_SLOW)
        body = bytes(gathered)
    return body


def _bytes_of(message: dict[str, Any]) -> bytes:
    body: bytes = message.get("body", b"")
    if not body:  # http.disconnect, or an end before what was promised
        raise ClientGone
    return body
