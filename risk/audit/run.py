"""The audit's run: checks every invariant that a live database can show, in one snapshot.

An incremental run reads tables that only grow from their verified marks on, and is fast enough for
every minute. A full run reads everything and starts the marks over.

The open orders are read by every run, however long they have been open. A run that spares the
machine leaves them out for OPEN_ORDERS_PAUSE times as long as the last look at them took.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import psycopg

from exchange.domain.ids import id_floor
from risk.audit import books as book_checks
from risk.audit import reconciliation as engine_checks
from risk.audit import reservations as reservation_checks
from risk.audit.guards import records_are_untouched
from risk.audit.inputs import Position, SymbolRow, journal_mark, positions, symbols
from risk.audit.reconciliation import GATE_MARK
from wallets import reconciliation as ledger_checks
from wallets.reconciliation import ENTRIES_MARK, Breach

OPEN_ORDERS_MARK: Final = "open_orders"  # Unix ms: before it they are not compared again
OPEN_ORDERS_PAUSE: Final = 10

INVARIANTS: Final = {
    "L1": "entries of a journal sum to zero",
    "L2": "all balances of an asset sum to zero",
    "L3": "a balance is the sum of its entries",
    "L4": "nothing is negative",
    "L5": "what is reserved is what live orders need",
    "L6": "entries and trades were never changed",
    "O1": "every acknowledged order is there",
    "O2": "what is filled is what was traded",
    "B3": "open orders are the engine's book",
    "S1": "every event is settled exactly once",
}


@dataclass(slots=True)
class Report:
    """The result of an audit."""

    full: bool
    breaches: list[Breach] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # by invariant: the unchecked part, why
    seconds: dict[str, float] = field(default_factory=dict)
    lag_events: dict[int, int] = field(default_factory=dict)  # by partition
    lag_seconds: dict[int, float] = field(default_factory=dict)
    symbols: dict[int, str] = field(default_factory=dict)
    symbol_assets: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def is_green(self) -> bool:
        return not self.breaches

    def of(self, invariant: str) -> list[Breach]:
        """Return the breaches of one invariant."""
        return [breach for breach in self.breaches if breach.invariant == invariant]

    def symbols_affected(self) -> list[str]:
        """Return the codes of the symbols to freeze; all, if a breach names no symbol or asset."""
        affected: set[int] = set()
        for breach in self.breaches:
            if not breach.freezes:
                continue
            if breach.symbol_id is not None:
                affected.add(breach.symbol_id)
            elif breach.asset_id is not None:
                affected |= {
                    symbol_id
                    for symbol_id, assets in self.symbol_assets.items()
                    if breach.asset_id in assets
                }
            else:
                affected |= self.symbols.keys()
        return sorted(self.symbols[symbol_id] for symbol_id in affected)


def audit_run(
    connection: psycopg.Connection, *, full: bool = False, sparing: bool = False
) -> Report:
    """Check every invariant and, if all is green, move the verified marks.

    `sparing` leaves out the comparison of each open order, where it was done a short time ago. The
    caller holds the AUDIT lock and passes a connection of its own in autocommit mode.
    """
    report = Report(full=full)
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        if full:
            connection.execute("SET LOCAL statement_timeout = 0")
        marks = {} if full else ledger_checks.marks_read(connection)
        # Read before the checks' data: the snapshot sees all that was committed before this time.
        entries_upto = id_floor(ledger_checks.horizon_ms(connection))
        due_ms = marks.get(OPEN_ORDERS_MARK, 0) if sparing else 0
        new_marks = _check(connection, report, marks, due_ms)
    if report.is_green:
        after_id = marks.get(ENTRIES_MARK, 0)
        with connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            ledger_checks.audited_advance(connection, after_id, entries_upto)
            new_marks[ENTRIES_MARK] = entries_upto
            ledger_checks.marks_write(connection, new_marks)
    return report


def _check(
    connection: psycopg.Connection, report: Report, marks: dict[str, int], open_orders_due_ms: int
) -> dict[str, int]:
    known = symbols(connection)
    at = positions(connection)
    _describe(report, known, at)
    full, entries_after = report.full, marks.get(ENTRIES_MARK, 0)

    def run(invariant: str, check: Callable[[], list[Breach]]) -> None:
        started = time.perf_counter()
        report.breaches += check()
        spent = report.seconds.get(invariant, 0.0) + time.perf_counter() - started
        report.seconds[invariant] = spent

    run("L1", lambda: ledger_checks.journals_balance(connection, entries_after))
    run("L2", lambda: ledger_checks.totals_are_zero(connection))
    run("L3", lambda: ledger_checks.balances_equal_entries(connection, entries_after, full=full))
    run("L4", lambda: ledger_checks.nothing_is_negative(connection))
    run("L5", lambda: ledger_checks.reserved_is_explained(connection))
    run("L6", lambda: records_are_untouched(connection))
    run(
        "O1",
        lambda: engine_checks.acknowledged_orders_exist(connection, marks.get(GATE_MARK, 0)),
    )
    run("O1", lambda: engine_checks.what_waits_is_served(connection))
    if full:  # all partitions at once
        run("O2", lambda: engine_checks.fills_add_up(connection, None))
    wait_ms = open_orders_due_ms - time.time_ns() // 1_000_000
    if wait_ms > 0:
        why = f"each open order is compared again in {wait_ms // 1_000} s"
        report.skipped |= {"L5": why, "B3": why}
    else:
        run("L5", lambda: _reservations(connection, report, known, at))
        run("B3", lambda: _books(connection, report, known, at))
    run("S1", lambda: engine_checks.entries_have_trades(connection, entries_after))
    new_marks = {
        GATE_MARK: engine_checks.gate_end(connection),
        OPEN_ORDERS_MARK: _open_orders_due_ms(report),
    }
    for position in at:
        new_marks |= _check_partition(connection, report, run, position, marks)
    return new_marks


def _open_orders_due_ms(report: Report) -> int:
    """Return when a sparing run compares each open order again. A mark is never moved back."""
    spent = 0.0 if "B3" in report.skipped else report.seconds["L5"] + report.seconds["B3"]
    return time.time_ns() // 1_000_000 + round(spent * 1_000 * OPEN_ORDERS_PAUSE)


def _reservations(
    connection: psycopg.Connection,
    report: Report,
    known: dict[int, SymbolRow],
    at: list[Position],
) -> list[Breach]:
    breaches = reservation_checks.reservations_are_exact(connection, at, known)
    if breaches is None:
        rows = reservation_checks.UNSETTLED_ROWS_MAX
        report.skipped["L5"] = (
            f"the reservation of each order was not checked: over {rows} journal rows are unsettled"
        )
        return []
    return breaches


def _books(
    connection: psycopg.Connection,
    report: Report,
    known: dict[int, SymbolRow],
    at: list[Position],
) -> list[Breach]:
    books = book_checks.books_equal_checkpoints(connection, at, known, full=report.full)
    if books.skipped:
        report.skipped["B3"] = books.skipped
    return books.breaches


def _check_partition(
    connection: psycopg.Connection,
    report: Report,
    run: Callable[[str, Callable[[], list[Breach]]], None],
    position: Position,
    marks: dict[str, int],
) -> dict[str, int]:
    name = journal_mark(position.partition_id)
    window, breaches = engine_checks.window_of(
        connection, position, marks.get(name, 0), full=report.full
    )
    run("S1", lambda: breaches)
    run("S1", lambda: engine_checks.cursor_fits(connection, position))
    run("S1", lambda: engine_checks.trades_are_settled_once(connection, window))
    if not report.full:
        run("O2", lambda: engine_checks.fills_add_up(connection, window.trade_ids))
    return {name: window.upto_seq}


def _describe(report: Report, known: dict[int, SymbolRow], at: list[Position]) -> None:
    for symbol_id, row in known.items():
        report.symbols[symbol_id] = row.units.code
        report.symbol_assets[symbol_id] = (row.units.base_asset_id, row.units.quote_asset_id)
    for position in at:
        report.lag_events[position.partition_id] = position.last_seq - position.settled_seq
        report.lag_seconds[position.partition_id] = position.lag_seconds
