"""Ranges of the partitioned tables: which partition holds the rows of which ids. Pure.

Bounds are ids: an id begins with its time (exchange.domain.ids), so a month of rows is a range of
ids and the primary key stays one column.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from exchange.domain.ids import id_floor, id_time_ms


def _month_start(moment: datetime) -> datetime:
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _day_start(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _next_month(start: datetime) -> datetime:
    return _month_start(start + timedelta(days=32))


def _next_day(start: datetime) -> datetime:
    return start + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Partitioned:
    """A partitioned table, its period and how many periods exist ahead of now."""

    table: str
    start_of: Callable[[datetime], datetime]
    next_start: Callable[[datetime], datetime]
    name_format: str
    ahead: int
    # The ledger is never dropped, only detached: a balance is the sum of all of its entries.
    may_drop: bool = True
    # SQL condition of rows that may still change; a partition with such a row stays attached.
    live: str = ""
    append_only: bool = False
    fillfactor: int = (
        100  # percent of a page that inserts fill; updates find their room in the rest
    )

    def periods(self, now: datetime) -> Iterator[tuple[str, int, int]]:
        """Yield (name, first id, id after the last), from the period before now to `ahead` later.

        The period before is for ids of a clock that is a little behind ours.
        """
        start = self.start_of(self.start_of(now) - timedelta(days=1))
        for _ in range(self.ahead + 2):
            partition = self.partition_at(start)
            yield partition.name, partition.low, partition.high
            start = self.next_start(start)

    def partition_at(self, moment: datetime) -> "Partition":
        """Return the partition for the ids of this moment, whether it exists or not."""
        start = self.start_of(moment)
        name = f"{self.table}_p{start.strftime(self.name_format)}"
        return Partition(name, floor_id(start), floor_id(self.next_start(start)))


MONTHS_AHEAD: Final = 3
DAYS_AHEAD: Final = 14
ORDERS: Final = Partitioned(
    "orders_order",
    _month_start,
    _next_month,
    "%Y%m",
    MONTHS_AHEAD,
    live="finished_at IS NULL",
    fillfactor=50,  # every order is updated once at least
)
TABLES: Final = (
    ORDERS,
    Partitioned("orders_trade", _day_start, _next_day, "%Y%m%d", DAYS_AHEAD, append_only=True),
    Partitioned(
        "wallets_entry",
        _month_start,
        _next_month,
        "%Y%m",
        MONTHS_AHEAD,
        may_drop=False,
        append_only=True,
    ),
    Partitioned(
        "exchange_securityevent",
        _month_start,
        _next_month,
        "%Y%m",
        MONTHS_AHEAD,
        append_only=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Partition:
    """One attached partition: ids from `low` up to but not including `high`."""

    name: str
    low: int
    high: int

    def ends(self) -> datetime:
        """Return the moment after the last id of the partition."""
        return moment_of(self.high)


def floor_id(moment: datetime) -> int:
    return id_floor(int(moment.timestamp()) * 1_000)


def moment_of(value: int) -> datetime:
    return datetime.fromtimestamp(id_time_ms(value) / 1_000, UTC)


def grouped(partitioned: Partitioned, ids: Iterable[int]) -> dict[str, list[int]]:
    """Return ids by the name of the partition that holds their rows."""
    groups: dict[str, list[int]] = {}
    low = high = 0
    group: list[int] = []
    for value in ids:
        if not low <= value < high:
            name, low, high = astuple(partitioned.partition_at(moment_of(value)))
            group = groups.setdefault(name, [])
        group.append(value)
    return groups
