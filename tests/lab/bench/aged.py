"""Measure the whole path on an empty stack, then on the same stack with years of rows in it.

Between the two runs the tables are filled (tests/lab/bench/filling.py) and the matching worker
loads all open orders. Both runs use the same users, each run a symbol of its own; that of the
second has all of the past, and its open orders.
"""

import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import psycopg
from django.core.management import call_command

from config.env import BASE_DIR, ENV
from config.stack.state import state_read
from exchange.infra.database import connect
from exchange.models import Symbol
from orders.markets.rules import symbol_rules_converge
from tests.lab.bench.filling import Filling, tables_fill
from tests.lab.bench.load_generator import LoadPlan, Phase
from tests.lab.bench.venue import accounts_open, symbols_open, users_open
from tests.lab.bench.watch import memory_by_role
from tests.lab.bench.whole import (
    WholeOptions,
    WholeResult,
    Write,
    load_run,
    market_of,
    measured,
    plan_of,
)
from tests.lab.replay.outcome import drained_wait

OWNERS: Final = 2_000  # of the past, beside the users that trade now
WARM_SECONDS: Final = 3.0
RATIO_GOAL: Final = 0.9
LOAD_SECONDS_MAX: Final = 1_800.0
POLL_SECONDS: Final = 0.2
MIB: Final = 1_024 * 1_024
TABLES: Final = (
    "orders_order",
    "orders_clientorderid",
    "orders_trade",
    "wallets_entry",
    "wallets_reservation",
    "wallets_balance",
)

_EPOCH: Final = "SELECT epoch + 1 FROM orders_enginepartition WHERE id = %s"
_SIZES: Final = """
SELECT sum(pg_table_size(oid))::bigint, sum(pg_indexes_size(oid))::bigint, count(*) FROM pg_class
WHERE relkind = 'r' AND (oid = %(table)s::regclass
    OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %(table)s::regclass))
"""


@dataclass(frozen=True, slots=True)
class AgedResult:
    """Both runs, and what the filled tables and the worker's load took in between."""

    empty: WholeResult
    aged: WholeResult
    fill_seconds: float
    vacuum_seconds: float
    back_seconds: float  # from the loss of the lease until the next worker takes commands
    audit_seconds: float
    is_audit_green: bool
    sizes: dict[str, tuple[int, int, int]]  # bytes of tables and of indexes, and how many tables
    memory: dict[str, tuple[int, int]]  # MiB by role: before the filling, and at the end

    @property
    def is_good(self) -> bool:
        return self.empty.is_good and self.aged.is_good and self.is_audit_green

    @property
    def ratio(self) -> float:
        """Orders a second on the full tables, divided by those on empty ones."""
        return _rate(self.aged) / _rate(self.empty)

    def lines(self) -> list[str]:
        """Return what was measured, a line each."""
        empty, aged = self.empty.load, self.aged.load
        return [
            "",
            f"empty           {_rate(self.empty):>10,.0f} orders/s, p50 {empty.p50_ms:.1f},"
            f" p99 {empty.p99_ms:.1f} ms",
            f"full            {_rate(self.aged):>10,.0f} orders/s, p50 {aged.p50_ms:.1f},"
            f" p99 {aged.p99_ms:.1f} ms",
            f"ratio           {self.ratio:>10.2f} of the rate (goal: {RATIO_GOAL:g}),"
            f" {aged.p99_ms / max(empty.p99_ms, 0.1):.2f} of p99",
            f"processor empty {self.empty.processor_text()}",
            f"processor full  {self.aged.processor_text()}",
            f"filled in       {self.fill_seconds:>10.0f} s, vacuumed and analyzed in"
            f" {self.vacuum_seconds:.0f} s",
            f"worker back     {self.back_seconds:>10.1f} s after it lost its lease, orders loaded",
            f"audit of all    {self.audit_seconds:>10.1f} s,"
            f" {'green' if self.is_audit_green else 'BREACH'}",
            *(
                f"{table:<24}{rows // MIB:>8,} MiB, indexes {indexes // MIB:>7,} MiB,"
                f" {count:>4} tables"
                for table, (rows, indexes, count) in self.sizes.items()
            ),
            "MiB by role     "
            + ", ".join(f"{role} {old} -> {new}" for role, (old, new) in self.memory.items()),
        ]


def aged(options: WholeOptions, filling: Filling, write: Write) -> AgedResult:
    """Run the load, fill the tables, wait for the worker, run the load again."""
    data = BASE_DIR / ENV.data_dir
    bots = users_open(options.users)
    warm, symbol = symbols_open(bots, 2)
    symbol_rules_converge()  # as beat does each minute: both runs have a market's rules in use
    plan = plan_of(options, [symbol], bots)
    load_run(_on(plan, warm, "warm", WARM_SECONDS))  # web reads all keys for the first time
    write(f"{options.seconds:.0f} s on empty tables")
    empty = measured([symbol], plan, write)
    before = memory_by_role(data)
    with connect("bench", index_plans=False) as connection:
        others = accounts_open(connection, "past", OWNERS)
        (full,) = symbols_open(bots, 1, others=others)
        symbol_rules_converge()
        drained_wait(
            connection, symbol_id=full.pk, partition_id=full.partition_id, write=lambda _: None
        )
        write(f"filling {full.code}: {filling}")
        owners = [*(bot.account_id for bot in bots), *others]
        fill_seconds = _seconds(lambda: tables_fill(connection, filling, full, owners, write))
        back_seconds = worker_wait(connection, full.partition_id)
        write(f"the worker is back after {back_seconds:.1f} s")
        vacuum_seconds = _seconds(lambda: connection.execute("VACUUM ANALYZE"))
        connection.execute("CHECKPOINT")
        sizes = {table: _sizes(connection, table) for table in TABLES}
    is_audit_green, audit_seconds = audit_full(write)
    load_run(_on(plan, warm, "again", WARM_SECONDS))
    write(f"{options.seconds:.0f} s on full tables")
    again = measured([full], _on(plan, full, "full", options.seconds), write)
    after = memory_by_role(data)
    return AgedResult(
        empty,
        again,
        fill_seconds,
        vacuum_seconds,
        back_seconds,
        audit_seconds,
        is_audit_green,
        sizes,
        memory={role: (used, after.get(role, 0)) for role, used in before.items()},
    )


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _on(plan: LoadPlan, symbol: Symbol, mark: str, seconds: float) -> LoadPlan:
    """Return the plan on another symbol, with other client order ids."""
    phases = [Phase(seconds, plan.phases[0].rate)]
    return msgspec.structs.replace(plan, market=market_of([symbol]), mark=mark, phases=phases)


def worker_wait(connection: psycopg.Connection[Any], partition_id: int) -> float:
    """Return the seconds until a new matching worker takes commands. The one before was fenced."""
    began = time.monotonic()
    row = connection.execute(_EPOCH, (partition_id,)).fetchone()
    assert row is not None
    while _epoch_served(partition_id) < row[0]:
        assert time.monotonic() - began < LOAD_SECONDS_MAX, "the matching worker does not come back"
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def _epoch_served(partition_id: int) -> float:
    """Return the epoch of the worker that takes commands; 0 while none does."""
    url = state_read(BASE_DIR / ENV.data_dir)["roles"]["matching"]["health_url"]
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:  # noqa: S310 - ours
            text = answer.read().decode()
    except OSError:
        return 0.0  # it starts
    name = f'takas_engine_epoch{{partition="{partition_id}"}} '
    found = [line.removeprefix(name) for line in text.splitlines() if line.startswith(name)]
    return float(found[0]) if found else 0.0


def audit_full(write: Write) -> tuple[bool, float]:
    """Run the audit of everything; return whether it is green, and its seconds."""
    began = time.monotonic()
    try:
        call_command("audit", full=True)
    except SystemExit:
        write("the audit of everything found a breach")
        return False, time.monotonic() - began
    return True, time.monotonic() - began


def _sizes(connection: psycopg.Connection[Any], table: str) -> tuple[int, int, int]:
    row = connection.execute(_SIZES, {"table": table}).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def _rate(result: WholeResult) -> float:
    return result.load.orders / result.load.seconds
