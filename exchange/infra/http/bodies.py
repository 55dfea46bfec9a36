"""Bodies of requests, read whole on the event loop: bounded in size, time, pieces and number.

A slow sender costs a connection and the few kilobytes that it sent, but no thread and no lock.
Almost all bodies come with their head and take no place. A body that is incomplete after
FREE_SECONDS takes one. When all places are taken, in all or by its network, the oldest body gives
way, or the new one where the oldest is younger than GRACE_SECONDS. So slow senders never keep out
those who send in one piece.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.deadlines import Deadlines
from exchange.infra.metrics import WEB_BODIES

Receive = Callable[[], Awaitable[dict[str, Any]]]

BODIES_MAX: Final = 512
BODIES_PER_NETWORK_MAX: Final = 128
BODY_SECONDS: Final = 5.0  # for any body, plus ...
BODY_BYTES_PER_SECOND_MIN: Final = 16 * 1024  # ... the time of its length at this rate
FREE_SECONDS: Final = 0.1  # a body complete by then takes no place
LOOKS_WHILE_FREE: Final = 2  # for bodies that need one
GRACE_SECONDS: Final = 1.0  # a younger body does not give way
# Each piece costs the loop a turn: a body in single bytes would be work without end.
PIECES_MIN: Final = 64
PIECE_BYTES: Final = 256


class ClientGone(Exception):
    """The client left before its request was complete, so nobody waits for the answer."""


@dataclass(eq=False, slots=True)
class _Reading:
    task: "asyncio.Task[Any]"  # that waits for the body
    network: Callable[[], str]
    length: int
    began_s: float
    is_over: bool = False
    is_given_up: bool = False
    deadline_cancel: Callable[[], None] | None = None  # of a body that has a place

    def give_up(self) -> None:
        """End the wait: `asyncio.timeout` for each body would cost most of its reading."""
        if not self.is_given_up:
            self.is_given_up = True
            self.task.cancel()


class Bodies:
    """The bodies that have places in this process, the oldest first."""

    def __init__(
        self,
        *,
        total_max: int = BODIES_MAX,
        per_network_max: int = BODIES_PER_NETWORK_MAX,
        seconds: float = BODY_SECONDS,
        free_seconds: float = FREE_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._total_max = total_max
        self._per_network_max = per_network_max
        self._seconds = seconds
        self._slow: Deadlines[_Reading] = Deadlines(
            free_seconds,
            look_every_s=free_seconds / LOOKS_WHILE_FREE,
            is_over=lambda reading: reading.is_over,
            act=self._enter,
        )
        self._grace_seconds = grace_seconds
        self._readings: dict[_Reading, None] = {}
        self._by_network: dict[str, dict[_Reading, None]] = {}

    def __len__(self) -> int:
        return len(self._readings)

    async def read(self, receive: Receive, length: int, network: Callable[[], str]) -> bytes:
        """Return the body of `length` bytes. Raises request.too_slow and ClientGone.

        `network` is asked for the client's network where the body is slow, as few are.
        """
        task = asyncio.current_task()
        assert task is not None
        reading = _Reading(task, network, length, asyncio.get_running_loop().time())
        self._slow.begin(reading)
        try:
            return await _whole(receive, length)
        except asyncio.CancelledError:
            if reading.is_given_up and task.uncancel() == 0:
                raise DomainError(Code.REQUEST_TOO_SLOW) from None
            raise  # whoever runs the task ends it
        finally:
            reading.is_over = True
            self._leave(reading)

    def _enter(self, reading: _Reading) -> None:
        if not self._make_room(reading):
            reading.give_up()
            return
        ends_s = reading.began_s + self._seconds + reading.length / BODY_BYTES_PER_SECOND_MIN
        deadline = asyncio.get_running_loop().call_at(ends_s, reading.give_up)
        reading.deadline_cancel = deadline.cancel
        self._readings[reading] = None
        self._by_network.setdefault(reading.network(), {})[reading] = None
        WEB_BODIES.set(len(self._readings))

    def _leave(self, reading: _Reading) -> None:
        if reading not in self._readings:
            return  # the body never had a place, or gave it up
        assert reading.deadline_cancel is not None
        reading.deadline_cancel()
        del self._readings[reading]
        network = reading.network()
        same_network = self._by_network[network]
        del same_network[reading]
        if not same_network:
            del self._by_network[network]
        WEB_BODIES.set(len(self._readings))

    def _make_room(self, reading: _Reading) -> bool:
        """Return whether a place is free, or could be taken from the oldest body."""
        same_network = self._by_network.get(reading.network(), {})
        if len(same_network) >= self._per_network_max:
            oldest = next(iter(same_network))
        elif len(self._readings) >= self._total_max:
            oldest = next(iter(self._readings))
        else:
            return True
        if asyncio.get_running_loop().time() - oldest.began_s < self._grace_seconds:
            return False
        self._leave(oldest)
        oldest.give_up()
        return True


async def _whole(receive: Receive, length: int) -> bytes:
    """Read `length` bytes; no message after them says anything more."""
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
    if not body:  # http.disconnect, or an end before the promised length
        raise ClientGone
    return body
