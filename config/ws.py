"""WebSockets: `python -m config.ws` is daphne without bodies.

daphne writes the body of a request into a file before it asks anybody. Here a request with a body
is refused by its head, a head has a deadline, and a connection has one request: it becomes a
WebSocket, or it ends.
"""

import sys
from typing import Any, Final

from daphne.cli import CommandLineInterface
from daphne.http_protocol import HTTPFactory, WebRequest
from daphne.server import Server
from twisted.web.http import HTTPChannel

HEAD_SECONDS: Final = 15
_REFUSAL: Final = (
    b"HTTP/1.1 413 Request Entity Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


class SocketRequest(WebRequest):  # type: ignore[misc]  # daphne has no types
    """A request that has no body. The names of its methods are those that its base class calls."""

    refused = False

    def gotLength(self, length: int | None) -> None:
        """The head is complete, none of the body was read. None: the body is a chunked one."""
        super().gotLength(0)
        self.channel.persistent = False
        if length != 0:
            self.refused = True
            self.channel.transport.write(_REFUSAL)
            self.channel.transport.loseConnection()

    def handleContentChunk(self, data: bytes) -> None:
        """What of a refused body was on its way already is dropped."""

    def process(self) -> Any:
        return None if self.refused else super().process()


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
    """daphne's server around our factory: its `run` names one, and nothing else does."""

    @property
    def http_factory(self) -> SocketFactory:
        return self._http_factory

    @http_factory.setter
    def http_factory(self, _: HTTPFactory) -> None:
        self._http_factory = SocketFactory(self)


class SocketCommand(CommandLineInterface):  # type: ignore[misc]
    server_class = SocketServer


if __name__ == "__main__":
    SocketCommand().run([*sys.argv[1:], "config.asgi:application"])
