"""What waits to be sent to one socket: bounded, so that a slow client cannot grow the process."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from exchange.realtime.protocol import CloseCode

# One batch of the engine may bring the trades of thousands of orders (a sweep, a crowd of stops
# that one trade triggers): nobody is slow because these come at once. Sockets share public texts.
FRAMES_MAX = 20_000
CHARS_MAX = 4_000_000


@dataclass(frozen=True, slots=True)
class SocketLogin:
    """What a private socket stands on: a session, or an API key (`session_key` is None)."""

    user_id: int
    session_key: str | None = None
    mark: str = ""  # what the session was made under (exchange/realtime/login_state.py)
    key_number: int = 0


class SendQueue:
    """One socket's queue and what the hub knows about the socket.

    `put` never waits. Past its bounds the send queue asks for the connection to be closed: dropping
    frames would break the promise of a gap-free sequence.
    """

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self.user_id: int | None = None
        self.login: SocketLogin | None = None
        self.expires_at_s: float | None = None  # epoch seconds; None: not known, or never
        self.account_id: int | None = None
        self.private: set[str] = set()  # of `orders`, `balances`: those subscribed
        self.close_code: CloseCode | None = None
        self.frames: deque[str] = deque()
        self._chars = 0
        self._has_room = True
        self._ready = asyncio.Event()

    def put(self, frame: str) -> None:
        if self.close_code is not None:
            return
        if len(self.frames) >= FRAMES_MAX or self._chars + len(frame) > CHARS_MAX:
            self.close(CloseCode.TOO_SLOW)
            return
        self.frames.append(frame)
        self._chars += len(frame)
        self._ready.set()

    def close(self, code: CloseCode) -> None:
        """Send nothing more; the first reason stays."""
        if self.close_code is None:
            self.close_code = code
            self.frames.clear()
            self._chars = 0
            self._ready.set()

    def room(self, has_room: bool) -> None:
        """Whether the server's own buffer towards the client takes more."""
        self._has_room = has_room
        if has_room:
            self._ready.set()

    async def next(self) -> str | None:
        """The next frame, when there is one and room for it; None when the socket is to close."""
        while self.close_code is None and not (self.frames and self._has_room):
            self._ready.clear()
            await self._ready.wait()
        if self.close_code is not None:
            return None
        frame = self.frames.popleft()
        self._chars -= len(frame)
        return frame


def _protocol_of(send: Callable[..., Any] | None) -> Any:
    """The server's own object behind an ASGI `send`; None where there is none."""
    return next(iter(getattr(send, "args", ())), None)


class InboundLimits:
    """Bounds what a client can send: the size of a message, and how many wait for their turn.

    The server would gather a message of any size, and queue any number of them while one is
    handled: so its transport reads nothing meanwhile.
    """

    def __init__(self, send: Callable[..., Any] | None) -> None:
        self._protocol = _protocol_of(send)
        self._transport = getattr(self._protocol, "transport", None)

    def bound(self, bytes_max: int) -> None:
        """End the connection over a message that is larger, before it is gathered; 0: over none.

        The server would hold our own messages to the same size: there is no bound while we send.
        """
        if self._protocol is not None:
            self._protocol.maxFramePayloadSize = bytes_max
            self._protocol.maxMessagePayloadSize = bytes_max

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Read nothing from the client within this."""
        if self._transport is None:
            yield
            return
        self._transport.pauseProducing()
        try:
            yield
        finally:
            self._transport.resumeProducing()


class BackPressure:
    """Holds an send queue back while the server's own buffer towards the client is full.

    ASGI has no back-pressure under daphne: `send` returns at once and an unread socket grows the
    transport's buffer. Twisted says when that buffer fills, to whoever is its producer
    (IPushProducer, whose names these are).
    """

    def __init__(self, send_queue: SendQueue) -> None:
        self._send_queue = send_queue

    def attach(self, send: Callable[..., Any] | None) -> bool:
        """Listen to the transport behind an ASGI `send`; False where there is none."""
        transport = getattr(_protocol_of(send), "transport", None)
        if transport is None or not hasattr(transport, "registerProducer"):
            return False
        transport.unregisterProducer()  # the HTTP side's, which ended with the upgrade
        transport.registerProducer(self, True)
        return True

    def pauseProducing(self) -> None:
        self._send_queue.room(False)

    def resumeProducing(self) -> None:
        self._send_queue.room(True)

    def stopProducing(self) -> None:
        self._send_queue.room(True)
