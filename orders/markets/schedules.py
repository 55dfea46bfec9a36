"""Market states by the clock: which occurrence is due, and the command that it becomes.

Times are UTC. An occurrence is sent once: one transaction writes the command and the schedule's
mark. A schedule ends neither a halt that somebody asked for nor a closing: such an occurrence
passes.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple, Self

import psycopg
import structlog

from exchange.domain.enums import SymbolState
from exchange.domain.ids import IdGenerator
from orders.intake.batch import CommandPublisher
from orders.markets.state_rows import (
    KEPT,
    STATE_AHEAD,
    state_ahead_of,
    state_command_insert,
    state_ends_by_itself,
    states_held,
)

# An occurrence that could not be sent for so long passes: the market it was meant for is gone.
SCHEDULE_GRACE_S: Final = 600
WEEK_DAYS: Final = 7

_ACTIVE = """
SELECT id, symbol_id, state, at, weekdays, on_date, last_due_at FROM orders_scheduledstate
WHERE is_active ORDER BY id
"""
_LOCKED = """
SELECT id, symbol_id, state, at, weekdays, on_date, last_due_at FROM orders_scheduledstate
WHERE is_active AND id = ANY(%s) ORDER BY id FOR UPDATE
"""
_MARK = "UPDATE orders_scheduledstate SET last_due_at = %s WHERE id = %s"

StreamEntry = tuple[int, bytes]  # a partition, an encoded command

log = structlog.get_logger(__name__)


class Schedule(NamedTuple):
    """One row of orders_scheduledstate: on `weekdays` (digits, 1 is Monday) or on one date."""

    id: int
    symbol_id: int
    state: str
    at: time
    weekdays: str
    on_date: date | None
    last_due_at: datetime | None

    def occurs_on(self, day: date) -> bool:
        if self.on_date is not None:
            return day == self.on_date
        return str(day.isoweekday()) in self.weekdays

    def newest(self, now: datetime) -> datetime | None:
        """Return the newest occurrence that is not after `now`; weekdays look back a week."""
        today = now.astimezone(UTC).date()
        days = [self.on_date] if self.on_date else _days(today, -1, WEEK_DAYS + 1)
        past = (_moment(day, self.at) for day in days if self.occurs_on(day))
        return next((moment for moment in past if moment <= now), None)

    def coming(self, now: datetime, count: int) -> list[datetime]:
        """Return the next occurrences after `now`, soonest first."""
        today = now.astimezone(UTC).date()
        days = [self.on_date] if self.on_date else _days(today, 1, WEEK_DAYS * (count + 1))
        moments = (_moment(day, self.at) for day in days if self.occurs_on(day))
        return [moment for moment in moments if moment > now][:count]

    def unmarked(self, now: datetime) -> datetime | None:
        """Return the newest occurrence that was neither sent nor passed over."""
        newest = self.newest(now)
        if newest is None or (self.last_due_at is not None and newest <= self.last_due_at):
            return None
        return newest

    @classmethod
    def of(cls, row: Sequence[object]) -> Self:
        return cls(*row)  # type: ignore[arg-type]  # the columns of _ACTIVE, in its order


def _days(first: date, step: int, count: int) -> list[date]:
    return [first + timedelta(days=step * number) for number in range(count)]


def _moment(day: date, at: time) -> datetime:
    return datetime.combine(day, at.replace(tzinfo=None), UTC)


def schedules_run(
    connection: psycopg.Connection, ids: IdGenerator, publisher: CommandPublisher, now: datetime
) -> int:
    """Send the due occurrences of all schedules, oldest first; return the number of commands.

    Several runs at once are safe: each schedule's row is locked before it is read again, and each
    symbol's states before the state ahead is read.
    """
    due = [one for one in _read(connection, _ACTIVE) if one.unmarked(now)]
    if not due:
        return 0
    with states_held(connection, {one.symbol_id for one in due}):
        with connection.transaction():
            locked = _read(connection, _LOCKED, [one.id for one in due])
            entries = _send_all(connection, ids, locked, now)
        # Published at once, not left to the worker's sweep: a halt requested next must come after.
        publisher.publish(entries)
        publisher.confirm()
    return len(entries)


def _read(
    connection: psycopg.Connection, statement: str, schedule_ids: Sequence[int] | None = None
) -> list[Schedule]:
    params = None if schedule_ids is None else (list(schedule_ids),)
    return [Schedule.of(row) for row in connection.execute(statement, params).fetchall()]


def _send_all(
    connection: psycopg.Connection, ids: IdGenerator, schedules: Sequence[Schedule], now: datetime
) -> list[StreamEntry]:
    moments = [(one.unmarked(now), one) for one in schedules]
    due = sorted((moment, one.id, one) for moment, one in moments if moment is not None)
    entries = []
    for moment, _, schedule in due:
        connection.execute(_MARK, (moment, schedule.id))
        if (now - moment).total_seconds() > SCHEDULE_GRACE_S:
            report = log.warning if schedule.last_due_at else log.info  # new: it missed nothing
            report("schedule.missed", schedule=schedule.id, due_at=moment.isoformat())
            continue
        entry = _send(connection, ids, schedule)
        if entry is not None:
            entries.append(entry)
    return entries


def _send(
    connection: psycopg.Connection, ids: IdGenerator, schedule: Schedule
) -> StreamEntry | None:
    """Insert the command of an occurrence, unless it would end a halt or change nothing."""
    row = connection.execute(STATE_AHEAD, (schedule.symbol_id,)).fetchone()
    assert row is not None
    ahead, wanted = state_ahead_of(row[0], row[2]), SymbolState(schedule.state)
    if row[2] is None and state_ends_by_itself(connection, schedule.symbol_id):
        ahead = SymbolState.OPEN  # a pause must not keep a market open past its end
    if ahead in KEPT or ahead is wanted:
        log.info("schedule.passed", schedule=schedule.id, state=wanted.value, is_in=ahead.value)
        return None
    payload = state_command_insert(
        connection,
        ids,
        partition_id=row[1],
        symbol_id=schedule.symbol_id,
        state=wanted,
        note=f"schedule {schedule.id}: {wanted.value} at {schedule.at:%H:%M:%S} UTC",
    )
    log.info("schedule.sent", schedule=schedule.id, state=wanted.value)
    return row[1], payload
