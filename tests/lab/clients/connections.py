"""Many keep-alive connections driven from one thread: the load generators' half of the client.

A connection carries one request at a time. `wait` returns answers, and lost requests as answers
without a response: only the caller knows whether repeating a request is harmless.
"""

import select
import socket
import time
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from config.demo.client import RECEIVE_BYTES, TIMEOUT_SECONDS, NotSent, address_of, connect
from config.demo.responses import ProtocolError, Response, ResponseParser

CONNECTIONS_MAX: Final = 4_096
EVENTS_PER_WAIT_MAX: Final = 256

Tag = TypeVar("Tag")


@dataclass(slots=True)
class _OpenRequest(Generic[Tag]):
    """A request that was sent and has no answer yet, with its connection."""

    connection: socket.socket
    parser: ResponseParser
    tag: Tag
    sent_at: float


@dataclass(frozen=True, slots=True)
class Answer(Generic[Tag]):
    """The outcome of one request; `response` is None when the outcome is unknown."""

    tag: Tag
    response: Response | None
    seconds: float


class Connections(Generic[Tag]):
    """A bounded set of connections to one address, each idle or waiting for its answer."""

    def __init__(
        self, base_url: str, count: int, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        assert 0 < count <= CONNECTIONS_MAX
        self._address = address_of(base_url)
        self._count = count
        self._timeout_seconds = timeout_seconds
        self._idle: list[socket.socket] = []
        self._busy: dict[int, _OpenRequest[Tag]] = {}
        self._lost: list[Answer[Tag]] = []
        self._epoll = select.epoll()
        self._expiry_checked_at = 0.0

    @property
    def free(self) -> int:
        """The number of requests that can be sent now."""
        return self._count - len(self._busy) - len(self._lost)

    @property
    def waiting(self) -> int:
        """The number of answers still to come."""
        return len(self._busy) + len(self._lost)

    def close(self) -> None:
        """Close every connection; answers still to come are lost."""
        for request in self._busy.values():
            request.connection.close()
        for connection in self._idle:
            connection.close()
        self._busy.clear()
        self._idle.clear()
        self._epoll.close()

    def send(self, request: bytes, tag: Tag) -> None:
        """Send a request; `wait` reports a failure as an answer without a response."""
        assert self.free > 0
        now = time.perf_counter()
        try:
            connection = self._idle.pop() if self._idle else self._opened()
        except NotSent:
            self._lost.append(Answer(tag, None, 0.0))
            return
        try:
            connection.sendall(request)
        except OSError:
            connection.close()
            self._lost.append(Answer(tag, None, 0.0))
            return
        self._busy[connection.fileno()] = _OpenRequest(connection, ResponseParser(), tag, now)

    def wait(self, seconds: float) -> list[Answer[Tag]]:
        """Return answers as soon as there are any, or none after `seconds`."""
        answers, self._lost = self._lost, []
        for descriptor, _ in self._epoll.poll(0 if answers else seconds, EVENTS_PER_WAIT_MAX):
            request = self._busy.get(descriptor)
            if request is None:
                self._drop_idle(descriptor)
            else:
                self._receive(descriptor, request, answers)
        self._expire(answers)
        return answers

    def _opened(self) -> socket.socket:
        connection = connect(self._address, self._timeout_seconds)
        # Requests are far smaller than a socket's buffer: sending never has to wait.
        connection.setblocking(False)
        self._epoll.register(connection.fileno(), select.EPOLLIN)
        return connection

    def _receive(
        self, descriptor: int, request: _OpenRequest[Tag], answers: list[Answer[Tag]]
    ) -> None:
        response = None
        try:
            data = request.connection.recv(RECEIVE_BYTES)
            if data:
                response = request.parser.feed(data)
                if response is None:
                    return
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            response = None
        del self._busy[descriptor]
        answers.append(Answer(request.tag, response, time.perf_counter() - request.sent_at))
        if response is None or response.closes:
            request.connection.close()  # leaves the epoll set with its descriptor
        else:
            self._idle.append(request.connection)

    def _drop_idle(self, descriptor: int) -> None:
        """Close an idle connection that the server has closed."""
        for connection in self._idle:
            if connection.fileno() == descriptor:
                self._idle.remove(connection)
                connection.close()
                return

    def _expire(self, answers: list[Answer[Tag]]) -> None:
        now = time.perf_counter()
        if now - self._expiry_checked_at < 0.5:
            return
        self._expiry_checked_at = now
        for descriptor, request in list(self._busy.items()):
            if now - request.sent_at > self._timeout_seconds:
                del self._busy[descriptor]
                request.connection.close()
                answers.append(Answer(request.tag, None, now - request.sent_at))
