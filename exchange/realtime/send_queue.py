"""Send queue of one socket: bounded, so that a slow client cannot grow the process."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from exchange.realtime.protocol import CloseCode

# One batch of the engine may bring the trades of thousands of orders (a sweep, or stops that one
# trade triggers): that alone must not end a socket. Sockets share the texts of public frames.
FRAMES_MAX = 20_000
CHARS_MAX = 4_000_000


@dataclass(frozen=True, slots=True)
class SocketLogin:
    """The login of a private socket: a session, or an API key (`session_key` is None)."""

    user_id: int
    session_key: str | None = None
    mark: str = ""  # the session's mark (exchange/realtime/login_state.py)
    key_number: int = 0


class SendQueue:
    """The frames that wait for one socket, and what the hub knows about the socket.

    `put` never waits. A full send queue asks for the connection to be closed: dropping frames would
    break the promise of a gap-free sequence.
    """

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self.user_id: int | None = None
        self.login: SocketLogin | None = None
        self.expires_at_s: float | None = None  # epoch seconds; None: unknown, or never
        self.account_id: int | None = None
        self.private: set[str] = set()  # subscribed ones of `orders`, `balances`
        self.close_code: CloseCode | None = None
        self.frames: deque[str] = deque()
        self._chars = 0
        self._has_room = True
        self._ready = asyncio.Event()

    def put(self, frame: str) -> None:
        """Add a frame; close with TOO_SLOW where there is no room for it."""
        if self.close_code is not None:
            return
        if len(self.frames) >= FRAMES_MAX or self._chars + len(frame) > CHARS_MAX:
            self.close(CloseCode.TOO_SLOW)
            return
        self.frames.append(frame)
        self._chars += len(frame)
        self._ready.set()

    def close(self, code: CloseCode) -> None:
        """Drop all frames and ask for the close; the first code stays."""
        if self.close_code is None:
            self.close_code = code
            self.frames.clear()
            self._chars = 0
            self._ready.set()

    def room(self, has_room: bool) -> None:
        """Note whether the server's own buffer towards the client has room."""
        self._has_room = has_room
        if has_room:
            self._ready.set()

    async def next(self) -> str | None:
        """Wait for a frame and room to send it; return None when the socket is to close."""
        while self.close_code is None and not (self.frames and self._has_room):
            self._ready.clear()
            await self._ready.wait()
        if self.close_code is not None:
            return None
        frame = self.frames.popleft()
        self._chars -= len(frame)
        return frame


def _protocol_of(send: Callable[..., Any] | None) -> Any:
    """Return the server's protocol object behind an ASGI `send`; None where there is none."""
    return next(iter(getattr(send, "args", ())), None)


class InboundLimits:
    """Bounds the size of a client's message, and the messages that wait to be handled.

    The server would gather a message of any size, and queue any number of messages while one is
    handled: so its transport reads nothing meanwhile.
    """

    def __init__(self, send: Callable[..., Any] | None) -> None:
        self._protocol = _protocol_of(send)
        self._transport = getattr(self._protocol, "transport", None)

    def bound(self, bytes_max: int) -> None:
        """End the connection at a larger message, before it is gathered; 0 means no bound.

        The server applies the bound to outgoing messages too, so senders lift it meanwhile.
        """
        if self._protocol is not None:
            self._protocol.maxFramePayloadSize = bytes_max
            self._protocol.maxMessagePayloadSize = bytes_max

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Read nothing from the client within this block."""
        if self._transport is None:
            yield
            return
        self._transport.pauseProducing()
        try:
            yield
        finally:
            self._transport.resumeProducing()


class BackPressure:
    """Stops a send queue while the server's own buffer towards the client is full.

    Under daphne, ASGI has no back-pressure: `send` returns at once, and a client that does not read
    grows the transport's buffer. Twisted tells the transport's producer when that buffer is full;
    the method names are those of Twisted's IPushProducer.
    """

    def __init__(self, send_queue: SendQueue) -> None:
        self._send_queue = send_queue

    def attach(self, send: Callable[..., Any] | None) -> bool:
        """Become the producer of the transport behind an ASGI `send`; False where there is none."""
        transport = getattr(_protocol_of(send), "transport", None)
        if transport is None or not hasattr(transport, "registerProducer"):
            return False
        transport.unregisterProducer()  # the HTTP side's, which ended with the upgrade
        transport.registerProducer(self, True)
        return True

    def pauseProducing(self) -> None:
        """Stop sending: the buffer is full."""
        self._send_queue.room(False)

    def resumeProducing(self) -> None:
        """Send again: the buffer has room."""
        self._send_queue.room(True)

    def stopProducing(self) -> None:
        """Let the queue run on: the transport is gone, so nothing can fill its buffer."""
        self._send_queue.room(True)
