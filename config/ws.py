"""WebSockets: `python -m config.ws` is daphne without bodies.

daphne writes the body of a request into a file before any check. Here the head decides: a request
with a body is refused, and a request for a host name that is not ours. A head has a deadline. A
connection has one request: it becomes a WebSocket (config/ws_protocol.py), or the connection ends.
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
PROBES: Final = (b"/livez", b"/readyz")  # probes send an address as Host
_BODY: Final = b"413 Request Entity Too Large"
_HOST: Final = b"400 Bad Request"


def host_allowed(host: str) -> bool:
    """Tell whether `web` would take a request with this Host header."""
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
        """Refuse by the head, before any of the body is read. `length` None: a chunked body."""
        super().gotLength(0)
        self.channel.persistent = False
        if length != 0:
            self._refuse(_BODY)

    def handleContentChunk(self, data: bytes) -> None:
        """Drop the part of a refused body that was already on its way."""

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
    """A connection before it is a WebSocket; its deadline counts from the connection's start."""

    def resetTimeout(self) -> None:
        """Do nothing: bytes that trickle in give a head no more time."""


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
    """daphne's server with our factories: the setters replace those that its `run` assigns."""

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
