"""The roles of a stack: their commands, the order of their start, their probes and stop signals."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from config.env import BASE_DIR, ENV
from config.stack.servers import Server, child_command

# A kept-alive connection holds its place, so the limit is well above the clients connected at once.
WEB_CONNECTIONS_MAX: Final = 4_096
WEB_BACKLOG: Final = 2_048
# Bounds the whole head of a request, and the wait between two requests on one connection.
WEB_HEAD_TIMEOUT_MS: Final = 15_000
WEB_HEAD_BUFFER_BYTES: Final = 64 * 1024
WORKER_PROCESSES: Final = 2
PROBE_SECONDS: Final = 5.0
ALL: Final = ("matching", "worker", "beat", "web", "ws")
PARTITIONS_MAX: Final = 16

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Role:
    """One process of the stack. Roles start in order and stop in the opposite order."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15.0
    is_ready: Probe | None = None  # None: ready once it runs
    is_alive: Probe | None = None  # None: alive while it runs
    health_url: str = ""
    once: bool = False  # ends by itself and is not started again
    before_start: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the stack listens and keeps its data."""

    data: Path
    host: str
    port: int
    ws_port: int
    health_ports: dict[str, int]

    @property
    def url(self) -> str:
        return f"http://{self._name}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{self._name}:{self.ws_port}/ws"

    @property
    def _name(self) -> str:
        return "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 # nosec B104


def manage(*words: str) -> list[str]:
    """Return the command line of one of our management commands."""
    return [sys.executable, str(BASE_DIR / "manage.py"), *words]


def server_role(server: Server) -> Role:
    """Make a role of an embedded server."""

    async def is_ready() -> bool:
        return await asyncio.to_thread(server.is_ready)

    return Role(
        name=server.name,
        command=server.command,
        stop_signal=server.stop_signal,
        stop_seconds=30.0,
        is_ready=is_ready,
    )


def role_names(partitions: int) -> list[str]:
    """Return the names of all roles, in the order in which they start: first the engines'."""
    further = [f"matching-{number}" for number in range(2, partitions + 1)]
    return ["matching", *further, *ALL[1:]]


def exchange_roles(
    layout: Layout, *, web_workers: int = ENV.web_workers, partitions: int = 1
) -> list[Role]:
    """Return the roles of the exchange, in the order in which they start.

    Each of the engine's partitions, 1 to `partitions`, has a matching worker.
    """
    several = {"worker", "web"} if web_workers > 1 else {"worker"}
    names = role_names(partitions)
    commands = {
        "matching": manage("run_matching"),
        **{
            name: manage("run_matching", "--partition", str(number))
            for number, name in enumerate(names[1:partitions], start=2)
        },
        "worker": [*_celery("worker"), "--pool=prefork", f"--concurrency={WORKER_PROCESSES}",
                   "--without-gossip", "--without-mingle", "--without-heartbeat"],
        "beat": _celery("beat"),
        "web": _web(layout, web_workers),
        "ws": _ws(layout),
    }  # fmt: skip
    roles = []
    for name in names:
        port = layout.health_ports[name]
        url = f"http://127.0.0.1:{port}"
        kind = name.partition("-")[0]
        environment = {"ROLE": kind, "METRICS_PORT": str(port), "METRICS_HOST": "127.0.0.1"}
        metrics = layout.data / f"{name}-metrics" if name in several else None
        if metrics is not None:
            environment["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        roles.append(
            Role(
                name=name,
                command=child_command(commands[name], signal.SIGTERM),
                environment=environment,
                is_ready=_all_of(http_probe("127.0.0.1", port, "/readyz"), *_listens(layout, name)),
                is_alive=http_probe("127.0.0.1", port, "/livez"),
                health_url=url,
                before_start=None if metrics is None else partial(folder_empty, metrics),
            )
        )
    return roles


def _listens(layout: Layout, name: str) -> list[Probe]:
    host = urlsplit(layout.url).hostname or layout.host
    if name == "web":
        return [http_probe(host, layout.port, "/livez")]
    return [http_probe(host, layout.ws_port, "/livez")] if name == "ws" else []


def _all_of(*probes: Probe) -> Probe:
    async def probe() -> bool:
        return all([await probe() for probe in probes])

    return probe


def _celery(what: str) -> list[str]:
    return [sys.executable, "-m", "celery", "--quiet", "-A", "config.celery", what]


def _web(layout: Layout, workers: int) -> list[str]:
    return [
        sys.executable, "-m", "granian", "--interface", "asginl", "config.web:application",
        "--host", layout.host, "--port", str(layout.port), "--workers", str(workers),
        "--http", "1", "--no-ws", "--http1-header-read-timeout", str(WEB_HEAD_TIMEOUT_MS),
        "--http1-buffer-size", str(WEB_HEAD_BUFFER_BYTES),
        "--backpressure", str(WEB_CONNECTIONS_MAX), "--backlog", str(WEB_BACKLOG),
        # While it waits to replace a dead worker, granian ignores a request to stop.
        "--respawn-failed-workers", "--respawn-interval", "0.1",
        # A worker that is still starting ignores a request to stop.
        "--workers-kill-timeout", "10",
        "--log-level", "error",
    ]  # fmt: skip


def _ws(layout: Layout) -> list[str]:
    # Without --proxy-headers: exchange/infra/http/address.py reads the proxy's headers, for web
    # too.
    return [
        sys.executable, "-m", "config.ws", "-b", layout.host, "-p", str(layout.ws_port),
        "--verbosity", "0", "--no-server-name",
    ]  # fmt: skip


def traffic_role(name: str, words: Sequence[str], *, once: bool) -> Role:
    """Return the role of a management command that sends orders through the public API."""
    return Role(
        name=name,
        command=child_command(manage(*words), signal.SIGTERM),
        environment={"ROLE": "command", "METRICS_PORT": "0"},
        once=once,
    )


def folder_empty(folder: Path) -> None:
    """Make a folder, or empty it of an earlier process' files."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()


def http_probe(host: str, port: int, path: str, *, expect: bytes = b"200") -> Probe:
    """Return a probe that is true when the path answers in time with the expected status."""

    async def ask() -> bool:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            status = await reader.readline()
        finally:
            writer.close()
        return status.startswith(b"HTTP/") and expect in status.split(b" ")[1]

    async def probe() -> bool:
        try:
            return await asyncio.wait_for(ask(), PROBE_SECONDS)
        except (OSError, TimeoutError):
            return False

    return probe
