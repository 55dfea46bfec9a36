"""One WebSocket of the ws role: daphne's protocol with a bound on everything that a client causes.

The consumer bounds messages and what the feed holds for a socket. Here is bounded what it never
sees: control frames and their answers, pieces of messages, bytes before the handshake is answered,
and the time that an end may take. Names of methods are those that daphne and autobahn call.
"""

import time
from typing import Any, Final

from daphne.ws_protocol import WebSocketProtocol

from exchange.realtime.protocol import (
    FRAMES_BURST,
    MESSAGES_PER_SECOND,
    CloseCode,
    TokenBucket,
)

# From our close frame, or the answer to the client's, until the transport is aborted. autobahn's
# timer rounds down to whole seconds: a client has at least one.
CLOSE_SECONDS: Final = 2


class SocketProtocol(WebSocketProtocol):  # type: ignore[misc]  # daphne has no types
    """Counts each frame, keeps one pong for a client that does not read, and ends in time."""

    closeHandshakeTimeout = CLOSE_SECONDS  # autobahn's option

    def __init__(self) -> None:
        super().__init__()
        self._deaf = False
        self._pong_due: bytes | None = None
        self._bucket = TokenBucket(
            per_second=MESSAGES_PER_SECOND, burst=FRAMES_BURST, now_s=time.monotonic()
        )

    # --- what comes in ----------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Bytes that come while the handshake waits for its answer wait too: one read of them."""
        if self._deaf:
            self.transport.pauseProducing()
        elif self.state == self.STATE_CONNECTING and hasattr(self, "handshake_deferred"):
            self.transport.pauseProducing()
            self.data += data
        else:
            super().dataReceived(data)

    def onOpen(self) -> None:
        super().onOpen()
        self.transport.resumeProducing()

    def processData(self) -> bool:
        return super().processData() and not self._deaf

    def onFrameBegin(self) -> None:
        """Each frame counts: a message, a piece of one, a ping, a pong nobody asked for."""
        if self._bucket.take(time.monotonic()):
            super().onFrameBegin()
        else:
            self._end(int(CloseCode.TOO_MANY_MESSAGES))

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """After our close frame nobody takes messages."""
        if self.state == self.STATE_OPEN:
            super().onMessage(payload, isBinary)

    # --- what goes out ----------------------------------------------------------------------

    def onPing(self, payload: bytes) -> None:
        """Answer it; while the client does not read, the newest pong waits and the others go."""
        if self.transport.producerPaused:
            self._pong_due = payload
        else:
            self._pong_due = None
            self.sendPong(payload)

    def serverSend(self, content: Any, binary: bool = False) -> None:
        """Send a frame of the send queue: there is room, so a pong that is due goes before it."""
        if self._pong_due is not None:
            self.sendPong(self._pong_due)
            self._pong_due = None
        super().serverSend(content, binary)

    # --- how it ends ------------------------------------------------------------------------

    def _fail_connection(self, code: int = 1001, reason: str = "") -> None:
        """A message that is too large, or that breaks the protocol: say so, then end."""
        self.failedByMe = True
        self.wasClean = False
        self.wasNotCleanReason = reason
        self._end(code)

    def _end(self, code: int) -> None:
        """Say why and read nothing more; in CLOSE_SECONDS the transport is aborted."""
        self.sendCloseFrame(code=code)  # once: it does nothing on a socket that is closing
        self._deaf = True
        self.data = b""
        self.transport.pauseProducing()

    def _closeConnection(self, abort: bool = False) -> None:
        """What is still to be written has a deadline: a client that reads nothing holds nothing."""
        super()._closeConnection(abort)
        if not abort:
            self.transport.reactor.callLater(CLOSE_SECONDS, self.transport.abortConnection)
