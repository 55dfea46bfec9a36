"""WebSockets: `python -m config.ws` is daphne without bodies.

daphne writes the body of a request into a file before it asks anybody. Here a request with a body
is refused by its head, and so is one for a host name that is not ours; a head has a deadline, and a
connection has one request: it becomes a WebSocket (config/ws_protocol.py), or it ends.
"""

import sys
from typing import Any, Final

from daphne.cli import CommandLineInterface
from daphne.http_protocol import HTTPFactory, WebRequest
from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from twisted.web.http import HTTPChannel

from config.ws_protocol import SocketProtocol

HEAD_SECONDS: Final = 15
PROBES: Final = (b"/livez", b"/readyz")  # a probe asks by address
_BODY: Final = b"413 Request Entity Too Large"
_HOST: Final = b"400 Bad Request"


def host_allowed(host: str) -> bool:
    """Whether `web` would take a request with this Host header."""
    request = HttpRequest()
    request.META = {"HTTP_HOST": host}
    try:
        request.get_host()
    except DisallowedHost:
        return False
    return True


class SocketRequest(WebRequest):  # type: ignore[misc]  # daphne has no types
    """A request that has no body. The names of its methods are those that its base class calls."""

    refused = False

    def gotLength(self, length: int | None) -> None:
        """The head is complete, none of the body was read. None: the body is a chunked one."""
        super().gotLength(0)
        self.channel.persistent = False
        if length != 0:
            self._refuse(_BODY)

    def handleContentChunk(self, data: bytes) -> None:
        """What of a refused body was on its way already is dropped."""

    def process(self) -> Any:
        if not self.refused and self.path not in PROBES and not self._is_for_us():
            self._refuse(_HOST)
        return None if self.refused else super().process()

    def _is_for_us(self) -> bool:
        lines = self.requestHeaders.getRawHeaders(b"host", [])
        return host_allowed(b",".join(lines).decode("latin-1"))

    def _refuse(self, status: bytes) -> None:
        self.refused = True
        head = b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self.channel.transport.write(head)
        self.channel.transport.loseConnection()


class SocketChannel(HTTPChannel):
    """A connection until it is a WebSocket. Its time is counted from its beginning."""

    def resetTimeout(self) -> None:
        """Bytes that trickle in give a head no more time."""


class SocketFactory(HTTPFactory):  # type: ignore[misc]
    protocol = SocketChannel

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.timeOut = HEAD_SECONDS

    def buildProtocol(self, addr: Any) -> Any:
        channel = super().buildProtocol(addr)
        channel.requestFactory = SocketRequest
        return channel


class SocketServer(Server):  # type: ignore[misc]
    """daphne's server around our factories: its `run` names them, and nothing else does."""

    @property
    def http_factory(self) -> SocketFactory:
        return self._http_factory

    @http_factory.setter
    def http_factory(self, _: HTTPFactory) -> None:
        self._http_factory = SocketFactory(self)

    @property
    def ws_factory(self) -> WebSocketFactory:
        return self._ws_factory

    @ws_factory.setter
    def ws_factory(self, factory: WebSocketFactory) -> None:
        factory.protocol = SocketProtocol
        self._ws_factory = factory


class SocketCommand(CommandLineInterface):  # type: ignore[misc]
    server_class = SocketServer


if __name__ == "__main__":
    SocketCommand().run([*sys.argv[1:], "config.asgi:application"])
