"""Shedding of connections, so that no network keeps others out by holding too many.

The server hides a connection from the application until it carries a request, so this module reads
the process's own sockets (Linux: /proc/self/fd). When most places are taken, networks with more
than a fair share lose the connections that were silent longest. Behind a proxy all connections
come from the proxy, which has to bound them itself: shedding is off there.
"""

import os
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from exchange.infra.http.address import network_of
from exchange.infra.metrics import WEB_REFUSED

CONNECTIONS_MAX: Final = 4_096  # of one process; further ones wait until one ends
CROWDED: Final = 3_072  # from so many on, networks are cut to a fair share ...
CALM: Final = 2_048  # ... so that at most so many are left
LOOK_EVERY_S: Final = 1.0

_OWN_FILES: Final = Path("/proc/self/fd")
# struct tcp_info of linux/tcp.h: 8 bytes, then 32-bit words; the twelfth is tcpi_last_data_recv,
# in milliseconds.
_TCP_INFO_BYTES: Final = 56
_LAST_DATA: Final = slice(8 + 11 * 4, 8 + 12 * 4)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of a client: file descriptor, peer, and the time since data last came."""

    fd: int
    peer: tuple[str, int]
    silent_ms: int

    @property
    def network(self) -> str:
        """The network by which limits count the client."""
        return network_of(self.peer[0])


def connections_watch(*, not_ports: Collection[int]) -> None:
    """Shed connections from a thread of its own; `not_ports` serve something else."""
    if not _OWN_FILES.is_dir():
        log.warning("connections.not_watched", reason="no /proc on this system")
        return

    def watch() -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            shed(crowded=CROWDED, calm=CALM, not_ports=not_ports)

    threading.Thread(target=watch, name="connections", daemon=True).start()


def shed(*, crowded: int, calm: int, not_ports: Collection[int]) -> int:
    """End connections beyond a fair share where there are `crowded`; return how many ended."""
    if len(os.listdir(_OWN_FILES)) < crowded:
        return 0
    found = list(_connections(not_ports))
    if len(found) < crowded:
        return 0
    by_network: dict[str, list[Connection]] = defaultdict(list)
    for connection in found:
        by_network[connection.network].append(connection)
    share = fair_share({network: len(held) for network, held in by_network.items()}, calm)
    ended = sum(
        _end(connection)
        for held in by_network.values()
        for connection in sorted(held, key=lambda connection: connection.silent_ms)[share:]
    )
    WEB_REFUSED.labels("connections").inc(ended)
    log.warning("connections.shed", held=len(found), ended=ended, share=share)
    return ended


def fair_share(held: Mapping[str, int], total: int) -> int:
    """Return how many connections a network may keep, so that all keep no more than `total`.

    A network with fewer keeps all of them (max-min fairness). The share is at least one.
    """
    left, share = total, 1
    for index, number in enumerate(sorted(held.values())):
        share = max(1, left // (len(held) - index))
        if number > share:
            return share
        left -= number
    return max(held.values(), default=share)


def _connections(not_ports: Collection[int]) -> Iterator[Connection]:
    """Return clients' connections to the ports on which this process listens."""
    listening: set[int] = set()
    made: list[tuple[Connection, int]] = []
    for fd, file in _sockets():
        with file:
            if file.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                listening.add(file.getsockname()[1])
                continue
            with suppress(OSError):  # not connected, or no longer
                peer, port = file.getpeername()[:2], file.getsockname()[1]
                made.append((Connection(fd, peer, _silent_ms(file)), port))
    wanted = listening - set(not_ports)
    return (connection for connection, port in made if port in wanted)


def _sockets() -> Iterator[tuple[int, socket.socket]]:
    """Yield each of this process's TCP sockets: its file descriptor and a copy of it."""
    for name in os.listdir(_OWN_FILES):
        with suppress(OSError):  # closed meanwhile, or not a socket
            if not os.readlink(_OWN_FILES / name).startswith("socket:"):
                continue
            file = socket.socket(fileno=os.dup(int(name)))
            if file.family in (socket.AF_INET, socket.AF_INET6) and file.type == socket.SOCK_STREAM:
                yield int(name), file
            else:
                file.close()


def _silent_ms(file: socket.socket) -> int:
    info = file.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    return int.from_bytes(info[_LAST_DATA], sys.byteorder)


def _end(connection: Connection) -> bool:
    """Shut the connection down; the server closes it. False where the descriptor was reused."""
    try:
        with socket.socket(fileno=os.dup(connection.fd)) as file:
            if file.getpeername()[:2] != connection.peer:
                return False
            file.shutdown(socket.SHUT_RDWR)
    except OSError:  # the connection ended by itself
        return False
    return True
