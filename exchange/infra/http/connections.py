"""Nobody keeps others out by holding connections: the largest networks give way first.

The server shows the application no connection before it carries a request, so this looks at the
process's own sockets (Linux: /proc/self/fd). When most places are taken, networks that hold more
than a fair share lose the connections that have been silent longest. Behind a proxy all
connections come from the proxy, which has to bound them itself: there this is off.
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

CONNECTIONS_MAX: Final = 4_096  # of one process; what is beyond waits until one ends
CROWDED: Final = 3_072  # from so many on, networks are brought to a fair share ...
CALM: Final = 2_048  # ... so that no more than these are left
LOOK_EVERY_S: Final = 1.0

_OWN_FILES: Final = Path("/proc/self/fd")
# struct tcp_info of linux/tcp.h: 8 bytes, then 32-bit words; the twelfth is tcpi_last_data_recv,
# in milliseconds.
_TCP_INFO_BYTES: Final = 56
_LAST_DATA: Final = slice(8 + 11 * 4, 8 + 12 * 4)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection that a client made: its file, its far end, how long nothing came over it."""

    fd: int
    peer: tuple[str, int]
    silent_ms: int

    @property
    def network(self) -> str:
        return network_of(self.peer[0])


def connections_watch(*, not_ports: Collection[int]) -> None:
    """Keep room for everybody from a thread of its own; `not_ports` serve something else."""
    if not _OWN_FILES.is_dir():
        log.warning("connections.not_watched", reason="no /proc on this system")
        return

    def watch() -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            shed(crowded=CROWDED, calm=CALM, not_ports=not_ports)

    threading.Thread(target=watch, name="connections", daemon=True).start()


def shed(*, crowded: int, calm: int, not_ports: Collection[int]) -> int:
    """End what is beyond a fair share where there are `crowded` or more; return how many ended."""
    if len(os.listdir(_OWN_FILES)) < crowded:
        return 0
    found = list(_connections(not_ports))
    if len(found) < crowded:
        return 0
    by_network: dict[str, list[Connection]] = defaultdict(list)
    for one in found:
        by_network[one.network].append(one)
    share = fair_share({network: len(held) for network, held in by_network.items()}, calm)
    ended = sum(
        _end(one)
        for held in by_network.values()
        for one in sorted(held, key=lambda one: one.silent_ms)[share:]
    )
    WEB_REFUSED.labels("connections").inc(ended)
    log.warning("connections.shed", held=len(found), ended=ended, share=share)
    return ended


def fair_share(held: Mapping[str, int], total: int) -> int:
    """How many each may keep, at most, so that all together keep no more than `total`.

    Who holds less than that keeps all (max-min fairness); at least one each.
    """
    left, share = total, 1
    for place, number in enumerate(sorted(held.values())):
        share = max(1, left // (len(held) - place))
        if number > share:
            return share
        left -= number
    return max(held.values(), default=share)


def _connections(not_ports: Collection[int]) -> Iterator[Connection]:
    """Connections to the ports on which this process listens."""
    listening: set[int] = set()
    made: list[tuple[Connection, int]] = []
    for fd, file in _sockets():
        with file:
            if file.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                listening.add(file.getsockname()[1])
                continue
            with suppress(OSError):  # not connected, or no more
                peer, port = file.getpeername()[:2], file.getsockname()[1]
                made.append((Connection(fd, peer, _silent_ms(file)), port))
    wanted = listening - set(not_ports)
    return (one for one, port in made if port in wanted)


def _sockets() -> Iterator[tuple[int, socket.socket]]:
    """A copy of each of this process's TCP sockets, and the file it is a copy of."""
    for name in os.listdir(_OWN_FILES):
        with suppress(OSError):  # closed meanwhile, or no socket
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


def _end(one: Connection) -> bool:
    """Shut the connection down; the server closes it. False where its file is another by now."""
    try:
        with socket.socket(fileno=os.dup(one.fd)) as file:
            if file.getpeername()[:2] != one.peer:
                return False
            file.shutdown(socket.SHUT_RDWR)
    except OSError:  # it ended by itself
        return False
    return True
