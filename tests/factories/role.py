"""A role as a process of its own, on the servers and the database of the tests."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import psycopg
from django.db import connection
from django.utils import timezone

from config.demo.client import Client, Credentials
from config.demo.responses import ClientError
from config.env import child_environment
from config.stack.roles import Layout, Role, exchange_roles
from config.stack.state import ports_free
from orders.models import EnginePartition
from tests.factories.trading import Trader
from tests.waiting import HANG_S, START_S, wait_until

READY_S: Final = HANG_S
STOP_S: Final = HANG_S


@dataclass(frozen=True, slots=True)
class Running:
    """A role that runs, where it is asked, and what it has written."""

    process: "subprocess.Popen[bytes]"
    url: str
    health_url: str
    log: Path

    def client(self, trader: Trader | None = None) -> Client:
        keys = None if trader is None else Credentials(trader.key, trader.secret)
        return Client(self.url, keys, timeout_seconds=READY_S)

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        _, text = self.health("/metrics")
        lines = [line for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def health(self, path: str) -> tuple[int, str]:
        """Status and text of what the port of health answers; 0: it does not."""
        try:
            with urlopen(f"{self.health_url}{path}", timeout=READY_S) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        return socket.create_connection(
            (parts.hostname, parts.port or 80), timeout=READY_S, source_address=(source, 0)
        )

    def children(self) -> list[int]:
        """The processes that the server started, straight from the system."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


def wait_for(condition: Any, what: str, log: Path | None = None) -> None:
    def tail() -> str:
        return what if log is None else f"{what}\n{log.read_text(errors='replace')[-4_000:]}"

    wait_until(condition, tail, seconds=START_S)


@contextmanager
def role_running(
    name: str, folder: Path, *, web_workers: int = 1, **environment: str
) -> Iterator[Running]:
    """Start a role as `manage.py stack` does, and stop it at the end."""
    port, ws_port, health_port = ports_free(3)
    layout = Layout(folder, "127.0.0.1", port, ws_port, dict.fromkeys(_ROLES, health_port))
    role = {one.name: one for one in exchange_roles(layout, web_workers=web_workers)}[name]
    url = {"web": f"http://127.0.0.1:{port}", "ws": f"http://127.0.0.1:{ws_port}"}.get(name, "")
    _engines_at_work()
    running = _started(role, url, folder, environment)
    try:
        wait_for(lambda: _answers(running), f"{name} is not ready", running.log)
        yield running
    finally:
        running.process.send_signal(signal.SIGTERM)
        try:
            running.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(running.process.pid, signal.SIGKILL)  # its children too
            running.process.wait()
            raise


_ROLES: Final = ("matching", "worker", "beat", "web", "ws")


def _engines_at_work() -> None:
    """Orders are taken for an hour without an engine, however slowly the roles start."""
    EnginePartition.objects.update(lease_until=timezone.now() + timedelta(hours=1))


def _started(role: Role, url: str, folder: Path, changes: dict[str, str]) -> Running:
    log = folder / f"{urlsplit(role.health_url).port}.log"
    environment = child_environment({**role.environment, "DATABASE_URL": database_url(), **changes})
    if role.before_start is not None:
        role.before_start()
    with log.open("wb") as output:
        process = subprocess.Popen(
            role.command, env=environment, stdout=output, stderr=subprocess.STDOUT, process_group=0
        )
    return Running(process, url, role.health_url, log)


def database_url() -> str:
    """DATABASE_URL with the name of the tests' database."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    return parts._replace(path=f"/{connection.settings_dict['NAME']}").geturl()


@contextmanager
def locked(table: str) -> Iterator[None]:
    """Nobody else reads the table meanwhile."""
    with psycopg.connect(database_url()) as locker:
        locker.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")  # type: ignore[arg-type]
        yield


def _answers(running: Running) -> bool:
    assert running.process.poll() is None, running.log.read_text(errors="replace")[-4_000:]
    try:
        if running.health("/readyz")[0] != 200 or not running.url:
            return running.health("/readyz")[0] == 200
        with running.client() as client:
            return client.get("/livez").status == 200
    except ClientError:
        return False
