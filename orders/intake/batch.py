"""One intake batch: many requests, one transaction, one commit (design.md, section 4).

Read and lock, decide each request in arrival order, write, commit, publish. A refused request
never fails its neighbours, and nothing leaves before the commit. This is a plain function over a
connection: the intake thread, replays, benchmarks and the simulation call the same one.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row, tuple_row

from exchange.domain.enums import CommandKind, ListKind, OrderStatus
from exchange.infra.database import array_text
from orders.intake import sql
from orders.intake.amends import Linked, Reserved
from orders.intake.decide import decide
from orders.intake.decisions import BatchReads, Decisions, StreamEntry, client_key
from orders.intake.deferred import early_refusals_defer
from orders.intake.funds import AssetKey
from orders.intake.jobs import AmendJob, CommandJob, Job, ListJob, PlaceJob
from orders.intake.repeats import answer_repeated
from orders.intake.rows import BalanceKey, ClaimRow, OpenOrdersKey, encode_rows
from wallets import locks, reserving

_NO_ORDER: Final[dict[str, Any]] = {"list_id": None}

Connection = psycopg.Connection[Any]
Cursor = psycopg.Cursor[Any]

# Keyed by whether to wait for locks of other transactions.
_LOCK_BALANCES: Final = {
    False: locks.LOCK_BALANCES.format(skip_locked=locks.SKIP_LOCKED),
    True: locks.LOCK_BALANCES.format(skip_locked=""),
}
_LOCK_AMENDED: Final = {
    False: sql.LOCK_AMENDED.format(skip_locked=locks.SKIP_LOCKED),
    True: sql.LOCK_AMENDED.format(skip_locked=""),
}


class CommandPublisher(Protocol):
    """Publishes commands after their commit. It may lose some: the worker sweeps for them."""

    def publish(self, entries: Sequence[StreamEntry]) -> None:
        """Send entries in order. Must not raise if sending fails: the commit has happened."""

    def confirm(self) -> None:
        """Wait until what was sent has arrived, or is known to be lost. Must not raise."""


class CommitUnknown(Exception):
    """The connection was lost while committing: the batch may or may not be durable."""


def commit_batch(
    connection: Connection,
    jobs: Sequence[Job],
    publisher: CommandPublisher,
    *,
    next_id: Callable[[], int],
    wait_for_locks: bool = False,
    waits_for_settlement: bool = False,
) -> list[Job]:
    """Commit a batch, publish it and set the jobs' outcomes; return the jobs to run again.

    A job is returned without an outcome when a balance it needs is locked (never with
    `wait_for_locks`), when the client id it asked for was given up by a job in this batch, or,
    with `waits_for_settlement`, when settlement may prove its refusal wrong: `settled_at` tells
    what to wait for. The caller resolves the others. Raises psycopg.Error when nothing was
    committed, and CommitUnknown.
    """
    for job in jobs:
        job.command_id = next_id()
        job.outcome = None
        if isinstance(job, ListJob):
            for place in job.places:
                place.command_id = next_id()
    try:
        known = _read(connection, jobs, wait_for_locks)
        decisions = decide(jobs, known)
        if waits_for_settlement:
            early_refusals_defer(connection, decisions, known)
        found = _write(connection, decisions)
    except BaseException:
        _roll_back(connection)
        raise
    answer_repeated(decisions, found)
    publisher.publish(decisions.entries)
    for job, outcome in decisions.outcomes:
        job.outcome = outcome
    return decisions.deferred


def _roll_back(connection: Connection) -> None:
    if not connection.closed:
        connection.execute("ROLLBACK")


def _read(connection: Connection, jobs: Sequence[Job], wait_for_locks: bool) -> BatchReads:
    """Claim, lock and read everything that the batch needs, in one round trip."""
    places = _places(jobs)
    amends = [job for job in jobs if isinstance(job, AmendJob)]
    # A list reserves only the asset that its first order pays with.
    first = [job.places[0] if isinstance(job, ListJob) else job for job in jobs]
    funded = [job for job in first if isinstance(job, PlaceJob | AmendJob)]
    wanted = {BalanceKey(job.account_id, job.reserved_asset_id) for job in funded}
    counted = {
        OpenOrdersKey(job.account_id, job.draft.symbol_id) for job in places if job.open_orders_max
    }
    order_ids = [job.order_id for job in amends] + [
        job.order_id
        for job in jobs
        if isinstance(job, CommandJob) and job.kind is CommandKind.CANCEL
    ]
    known = BatchReads()
    with connection.pipeline():
        connection.execute("BEGIN")
        claimed = _ask(connection, sql.CLAIM, _claims(places))
        reserved: Cursor | None = None
        if amends:
            amended = {"order_ids": array_text(job.order_id for job in amends)}
            reserved = connection.execute(_LOCK_AMENDED[wait_for_locks], amended, prepare=True)
        balances = _ask(connection, _LOCK_BALANCES[wait_for_locks], list(wanted))
        barred: Cursor | None = None
        if wanted:
            account_ids = array_text({key.account_id for key in wanted})
            barred = connection.execute(reserving.BARRED, (account_ids,), prepare=True)
        counts = _ask(connection, reserving.OPEN_ORDERS, list(counted))
        orders: Cursor | None = None
        if order_ids:
            orders = connection.cursor(row_factory=dict_row).execute(
                sql.ORDERS, (array_text(order_ids),), prepare=True
            )
        known.claimed = {row[0] for row in _rows(claimed)}
        known.reservations = {row[0]: Reserved(*row[1:]) for row in _rows(reserved)}
        known.available = {(row[1], row[2]): (row[0], row[3]) for row in _rows(balances)}
        known.barred = {row[0] for row in _rows(barred)}
        known.open_orders = {(row[0], row[1]): row[2] for row in _rows(counts)}
        known.orders = {row["id"]: row for row in _rows(orders)}
    missing = [key for key in wanted if (key.account_id, key.asset_id) not in known.available]
    known.busy = _present(connection, missing)
    known.linked = _linked(connection, [job.order_id for job in amends], known)
    return known


def _places(jobs: Sequence[Job]) -> list[PlaceJob]:
    """Return the new orders of the jobs, including the orders of lists."""
    places: list[PlaceJob] = []
    for job in jobs:
        if isinstance(job, PlaceJob):
            places.append(job)
        elif isinstance(job, ListJob):
            places += job.places
    return places


def _linked(connection: Connection, order_ids: list[int], known: BatchReads) -> dict[int, Linked]:
    """Read the lists of amended orders, in an extra round trip only if there are any."""
    in_lists = [
        order_id for order_id in order_ids if known.orders.get(order_id, _NO_ORDER)["list_id"]
    ]
    linked: dict[int, Linked] = {}
    if in_lists:
        found = connection.execute(sql.LISTS, (in_lists,), prepare=True)
        for own_id, kind, order_id, status in found:
            own_list = linked.setdefault(own_id, Linked(ListKind(kind), {}))
            own_list.statuses[order_id] = OrderStatus(status)
    return linked


def _claims(places: Sequence[PlaceJob]) -> list[ClaimRow]:
    """Return one claim for each client id, for the first job that names the id."""
    claims: dict[tuple[int, str], ClaimRow] = {}
    for job in places:
        key = client_key(job)
        if key not in claims:
            claims[key] = ClaimRow(*key, job.command_id, job.fingerprint)
    return list(claims.values())


def _present(connection: Connection, missing: list[BalanceKey]) -> set[AssetKey]:
    """Return the keys of the balances that exist among those that could not be locked."""
    found = _ask(connection, reserving.BALANCES_PRESENT, missing)
    return {(row[0], row[1]) for row in _rows(found)}


def _write(connection: Connection, decisions: Decisions) -> list[Any]:
    """Write the decisions and commit, in one round trip; return the orders of repeated requests.

    A statement that fails keeps the COMMIT after it from running. Raises CommitUnknown.
    """
    repeated = [ClaimRow(*client_key(place)) for place in _places(decisions.repeated)]
    flat = [row.flat() for row in decisions.special_orders]
    try:
        with connection.pipeline():
            _ask(connection, sql.UNCLAIM, decisions.unclaims)
            again = _ask(connection, sql.CLAIMED_ORDERS, repeated, dict_row)
            _ask(connection, sql.INSERT_LISTS, decisions.lists)
            _ask(connection, sql.INSERT_ORDERS, decisions.orders)
            _ask(connection, sql.INSERT_SPECIAL_ORDERS, flat)
            _ask(connection, sql.INSERT_COMMANDS, decisions.commands)
            _ask(connection, reserving.RESERVE_FOR_AMENDS, decisions.amend_reservations)
            _ask(connection, reserving.RESERVE, decisions.taken)
            done = connection.execute("COMMIT", prepare=False)
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        # Only while its transaction is open and failed is it certain that nothing was committed.
        if connection.info.transaction_status is not TransactionStatus.INERROR:
            raise CommitUnknown from error
        raise
    # COMMIT of a transaction that failed before "succeeds" as a ROLLBACK.
    assert done.statusmessage == "COMMIT", done.statusmessage
    return _rows(again)


def _ask(
    connection: Connection,
    statement: str,
    rows: Sequence[Any],
    row_factory: Any = tuple_row,
) -> Cursor | None:
    """Send a prepared statement for these rows; without rows, send nothing."""
    if not rows:
        return None
    cursor = connection.cursor(row_factory=row_factory)
    return cursor.execute(statement, (encode_rows(list(rows)),), prepare=True)


def _rows(cursor: Cursor | None) -> list[Any]:
    return [] if cursor is None else cursor.fetchall()
