"""A road to Postgres that can be cut at the worst moment: while a COMMIT is under way."""

import socket
import threading
from contextlib import suppress
from types import TracebackType

import psycopg

from exchange.infra.database import connect
from tests.waiting import HANG_S

CHUNK_BYTES = 65_536


class SeveredRoad:
    """Passes bytes between a client and Postgres; cuts both ends at the first COMMIT.

    With `after_commit` the server has committed and only its answer is lost; without, the COMMIT
    itself never arrives. The client cannot tell one from the other. Later connections go through.
    """

    def __init__(self, *, after_commit: bool) -> None:
        self.is_cut = False
        self._after_commit = after_commit
        with connect("test-road") as direct:
            self._params = {**direct.info.get_parameters(), "password": direct.info.password}
            self._host, self._port = direct.info.host, direct.info.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self._guard = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "SeveredRoad":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def connection(self) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection that goes this way."""
        params = {
            **self._params,
            "host": "127.0.0.1",
            "hostaddr": "",
            "port": str(self._listener.getsockname()[1]),
            "sslmode": "disable",
        }
        return psycopg.connect(autocommit=True, **params)

    def _server(self) -> socket.socket:
        if not self._host.startswith("/"):
            return socket.create_connection((self._host, self._port), HANG_S)
        server = socket.socket(socket.AF_UNIX)
        server.settimeout(HANG_S)
        server.connect(f"{self._host}/.s.PGSQL.{self._port}")
        return server

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the test is over
                return
            server = self._server()
            self._sockets += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(*pair, client), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
        try:
            while data := source.recv(CHUNK_BYTES):
                if source is client and b"COMMIT" in data and not self.is_cut:
                    self.is_cut = True
                    if not self._after_commit:
                        break
                    self._guard.acquire()  # the answer stays here
                if source is not client and self._guard.locked():
                    self._guard.release()
                    break
                target.sendall(data)
        except OSError:
            pass  # the other direction has cut it
        for one in (source, target):
            with suppress(OSError):  # closing alone would wait for the other thread's recv
                one.shutdown(socket.SHUT_RDWR)
            one.close()
