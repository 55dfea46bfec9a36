"""The WebSocket transport's buffer: what is written to a socket that nobody reads."""

import config.ws  # noqa: F401  # isort: skip  # first: daphne chooses twisted's reactor
from typing import Any

from daphne.ws_protocol import WebSocketFactory
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from config.ws_protocol import CLOSE_SECONDS, SocketProtocol
from exchange.realtime.send_queue import BackPressure, SendQueue

PINGS = 10_000


class Unread(FileDescriptor):
    """A transport whose other side reads nothing until `reads` says so."""

    reads = False

    def __init__(self) -> None:
        self.clock = Clock()
        super().__init__(reactor=self.clock)
        self.connected = 1
        self.aborted = False
        self.sent = b""

    def writeSomeData(self, data: bytes) -> int:
        taken = len(data) if self.reads else 0
        self.sent += bytes(data[:taken])
        return taken

    def startWriting(self) -> None:
        """The test says when it is writable, by `doWrite`."""

    stopWriting = startReading = stopReading = startWriting

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 1)

    getHost = getPeer

    def abortConnection(self) -> None:
        self.aborted = True

    def waiting(self) -> int:
        return len(self.dataBuffer) - self.offset + self._tempDataLen


def opened() -> tuple[Any, Unread]:
    """A socket whose handshake is done and whose send queue its transport holds back."""
    factory = WebSocketFactory(None)
    factory.protocol = SocketProtocol
    factory.openHandshakeTimeout = 0
    socket = factory.buildProtocol(None)
    transport = Unread()
    socket.makeConnection(transport)
    socket.state, socket.client_addr = socket.STATE_OPEN, None
    socket.current_frame, socket.inside_message = None, False
    socket.websocket_version = 13
    transport.registerProducer(BackPressure(SendQueue()), True)
    return socket, transport


def test_pongs_do_not_gather_for_a_client_that_does_not_read() -> None:
    socket, transport = opened()
    for number in range(PINGS):
        socket.onPing(b"%125d" % number)
    assert transport.producerPaused
    assert transport.waiting() <= transport.bufferSize + 127  # one pong over what makes it full
    transport.reads = True
    while transport.waiting():
        transport.doWrite()
    assert b"%125d" % (PINGS - 1) not in transport.sent
    socket.serverSend('{"type":"heartbeat"}')
    while transport.waiting():
        transport.doWrite()
    assert transport.sent.count(b"%125d" % (PINGS - 1)) == 1, "the newest is answered, and once"
    assert transport.sent.endswith(b'{"type":"heartbeat"}')


def test_an_end_that_the_client_does_not_read_has_a_deadline() -> None:
    socket, transport = opened()
    for _ in range(PINGS):
        socket.onPing(b"x" * 125)
    socket.dataReceived(b"\x88\x80" + bytes(4))  # the client's close frame
    assert socket.state == socket.STATE_CLOSED
    assert transport.waiting()
    transport.clock.advance(CLOSE_SECONDS - 1)
    assert not transport.aborted
    transport.clock.advance(1)
    assert transport.aborted
