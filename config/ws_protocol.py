"""One WebSocket of the ws role: daphne's protocol with a bound on everything that a client causes.

The consumer bounds messages and a socket's send queue. This protocol bounds what the consumer never
sees: control frames and their answers, pieces of messages, bytes before the handshake is answered,
and the time that a close may take. daphne and autobahn prescribe the names of the methods.
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
        """Keep bytes that come before the handshake is answered: one read of them, then no more."""
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
        """Count each frame: a message, a piece of a message, a ping, an unsolicited pong."""
        if self._bucket.take(time.monotonic()):
            super().onFrameBegin()
        else:
            self._end(int(CloseCode.TOO_MANY_MESSAGES))

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Drop messages that come after our close frame."""
        if self.state == self.STATE_OPEN:
            super().onMessage(payload, isBinary)

    # --- what goes out ----------------------------------------------------------------------

    def onPing(self, payload: bytes) -> None:
        """Answer a ping; while the client does not read, only the newest pong is kept."""
        if self.transport.producerPaused:
            self._pong_due = payload
        else:
            self._pong_due = None
            self.sendPong(payload)

    def serverSend(self, content: Any, binary: bool = False) -> None:
        """Send a frame of the send queue: there is room now, so a waiting pong goes before it."""
        if self._pong_due is not None:
            self.sendPong(self._pong_due)
            self._pong_due = None
        super().serverSend(content, binary)

    # --- how it ends ------------------------------------------------------------------------

    def _fail_connection(self, code: int = 1001, reason: str = "") -> None:
        """Close after a message that is too large or breaks the protocol, with the reason."""
        self.failedByMe = True
        self.wasClean = False
        self.wasNotCleanReason = reason
        self._end(code)

    def _end(self, code: int) -> None:
        """Send a close frame, read nothing more, and abort the transport after CLOSE_SECONDS."""
        self.sendCloseFrame(code=code)  # does nothing on a socket that is closing
        self._deaf = True
        self.data = b""
        self.transport.pauseProducing()

    def _closeConnection(self, abort: bool = False) -> None:
        """Give unsent data a deadline, so that a client that reads nothing keeps no connection."""
        super()._closeConnection(abort)
        if not abort:
            self.transport.reactor.callLater(CLOSE_SECONDS, self.transport.abortConnection)
