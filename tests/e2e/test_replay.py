"""A generated market through the whole exchange: HTTP, intake, worker, settlement, audit.

Once on the servers that come inside wheels, once on Debian's PostgreSQL 15 and Redis 7, which an
operator may well have. What the market should trade comes from a book independent of the engine.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
import redis

from config.demo.flow import FlowTrade
from config.demo.generator import MarketGenerator, MarketShape
from tests.e2e.covered import ROOT, manage
from tests.e2e.test_stack import clean_environment, stack_start, wait_ready
from tests.lab.replay.flow import flow_write, trades_write
from tests.waiting import HANG_S, START_S, wait_until

COMMANDS = 1_500
SEED = 7
SHAPE = MarketShape(
    price=Decimal("250.00"),
    tick=Decimal("0.01"),
    lot=Decimal("0.001"),
    order_size=Decimal("0.5"),
    open_orders_max=120,
)
SYSTEM_POSTGRES = Path("/usr/lib/postgresql/15/bin")

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="takas-e2e-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


def flow_make(folder: Path) -> tuple[Path, int]:
    """Write a flow and the trades it must make; return its path and their number."""
    generator = MarketGenerator(SHAPE, seed=SEED)
    commands = []
    trades: list[FlowTrade] = []
    for command in generator.commands(COMMANDS):
        commands.append(command)
        trades += generator.trades
    flow_write(folder / "flow.csv.gz", commands)
    trades_write(folder / "trades.csv", trades)
    return folder / "flow.csv.gz", len(trades)


def replay(folder: Path, *words: str, **environment: str) -> str:
    flow, count = flow_make(folder)
    result = subprocess.run(
        manage("replay", str(flow), "--speed", "max", *words),
        cwd=ROOT,
        env={**clean_environment(), "DATA_DIR": str(folder / "data"), **environment},
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3_000:] + result.stderr[-3_000:]
    assert count > 100, "the market must trade for this to show anything"
    assert result.stdout.splitlines()[-1] == f"{count} of {count} trades equal, 0 surplus"
    assert "green" in result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def running_data() -> Iterator[Path]:
    """The data folder of a stack that runs."""
    made = Path(tempfile.mkdtemp(prefix="takas-e2e-"))
    made.chmod(0o711)
    stack = stack_start(made)
    wait_ready(made, stack)
    yield made
    stack.send_signal(signal.SIGTERM)
    assert stack.wait(HANG_S) == 0
    shutil.rmtree(made)


@pytest.mark.parametrize("through", ["api", "intake"])
def test_market_makes_exactly_the_expected_trades(
    folder: Path, running_data: Path, through: str
) -> None:
    replay(folder, "--through", through, DATA_DIR=str(running_data))


@contextmanager
def system_postgres(folder: Path) -> Iterator[str]:
    """Run Debian's PostgreSQL in a folder of its own; yields its URL."""
    owner = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    become = ["setpriv", f"--reuid={owner}", "--clear-groups"] if os.getuid() == 0 else []
    data = folder / "system-postgres"
    data.mkdir(mode=0o700)
    shutil.chown(data, owner)
    initdb = [*become, str(SYSTEM_POSTGRES / "initdb"), "-D", str(data / "db"), "-U", "takas"]
    subprocess.run(
        [*initdb, "--auth=trust", "--encoding=UTF8", "--no-locale"],
        check=True,
        cwd="/",
        capture_output=True,
    )
    command = [*become, str(SYSTEM_POSTGRES / "postgres"), "-D", str(data / "db")]
    command += ["-c", "listen_addresses=", "-k", str(data), "-c", "max_connections=200"]
    process = subprocess.Popen(
        command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: psycopg.connect(host=str(data), user="takas", dbname="postgres").close())
        with psycopg.connect(
            host=str(data), user="takas", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute("CREATE DATABASE takas")
        yield f"postgresql://takas@/takas?host={data}"
    finally:
        process.terminate()
        process.wait(HANG_S)


@contextmanager
def system_redis(folder: Path, program: str) -> Iterator[str]:
    """Run Debian's Redis in a folder of its own; yields its URL."""
    socket = folder / "system-redis.sock"
    command = [program, "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
    command += ["--appendonly", "yes", "--maxmemory-policy", "noeviction"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(redis.Redis(unix_socket_path=str(socket)).ping)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait(HANG_S)


def wait_for(answer: Callable[[], object]) -> None:
    def answers() -> bool:
        try:
            answer()
        except (psycopg.OperationalError, redis.ConnectionError):
            return False
        return True

    wait_until(answers, "the server answers")


def test_market_on_servers_of_the_system(folder: Path) -> None:
    program = shutil.which("redis-server")
    if not (SYSTEM_POSTGRES / "postgres").exists() or program is None:
        pytest.skip("needs Debian's postgresql-15 and redis-server (.ci/run installs them)")
    with system_postgres(folder) as database_url, system_redis(folder, program) as redis_url:
        output = replay(folder, DATABASE_URL=database_url, REDIS_URL=redis_url)
        with psycopg.connect(database_url) as connection:
            row = connection.execute("SELECT count(*) FROM orders_order").fetchone()
    assert row is not None
    assert row[0] > 500, f"the orders are in the server that was given:\n{output}"
