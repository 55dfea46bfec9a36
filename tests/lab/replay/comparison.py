"""Compare expected trades with the trades made: pure, streaming, in bounded memory.

Both come in order. When they differ, a bounded look-ahead decides whether a trade is missing or
surplus, so that one difference does not make all later trades differ.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from config.demo.flow import FlowTrade

LOOK_AHEAD_MAX: Final = 2_000
DIFFERENCES_SHOWN_MAX: Final = 20


@dataclass(slots=True)
class TradeComparison:
    """Counts of equal, missing and surplus trades, and a text for each of the first differences.

    `equal + missing` is the number of expected trades, `equal + surplus` that of the trades made.
    """

    equal: int = 0
    missing: int = 0
    surplus: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def expected(self) -> int:
        """The number of expected trades."""
        return self.equal + self.missing

    @property
    def is_equal(self) -> bool:
        """Whether exactly the expected trades were made, in the expected order."""
        return self.missing == 0 and self.surplus == 0

    def line(self) -> str:
        """Return the last line of a replay's report."""
        return f"{self.equal} of {self.expected} trades equal, {self.surplus} surplus"

    def _miss(self, trade: FlowTrade) -> None:
        self.missing += 1
        self._note("missing", trade)

    def _extra(self, trade: FlowTrade) -> None:
        self.surplus += 1
        self._note("surplus", trade)

    def _note(self, what: str, trade: FlowTrade) -> None:
        if len(self.differences) < DIFFERENCES_SHOWN_MAX:
            self.differences.append(
                f"{what}: {trade.quantity:f} @ {trade.price:f}, buy {trade.buy_order_id},"
                f" sell {trade.sell_order_id}, taker {trade.taker_side}"
            )


def trades_compare(expected: Iterable[FlowTrade], made: Iterable[FlowTrade]) -> TradeComparison:
    """Compare trades in order by price, quantity, buyer, seller and taker side, not by time."""
    result = TradeComparison()
    wanted, found = _Window(iter(expected)), _Window(iter(made))
    while True:
        want, have = wanted.head(), found.head()
        if want is None and have is None:
            return result
        if want is not None and have is not None and want[1:] == have[1:]:
            result.equal += 1
            wanted.pop()
            found.pop()
        elif have is None or (want is not None and _is_missing(wanted, found)):
            assert want is not None
            result._miss(wanted.pop())
        else:
            result._extra(found.pop())


def _is_missing(wanted: "_Window", found: "_Window") -> bool:
    """Tell whether the expected head is missing, and not the made head surplus.

    The head that comes later, or not at all, in the other sequence's look-ahead is the odd one.
    """
    want_at = found.position(wanted.pending[0])
    have_at = wanted.position(found.pending[0])
    if want_at is None:
        return True
    return have_at is not None and have_at < want_at


@dataclass(slots=True, eq=False)
class _Window:
    """A trade sequence with a bounded look-ahead."""

    source: Iterator[FlowTrade]
    pending: deque[FlowTrade] = field(default_factory=deque)

    def head(self) -> FlowTrade | None:
        if not self.pending:
            self.pending.extend(islice(self.source, 1))
        return self.pending[0] if self.pending else None

    def pop(self) -> FlowTrade:
        return self.pending.popleft()

    def position(self, trade: FlowTrade) -> int | None:
        """Return the trade's position within the look-ahead, or None."""
        self.pending.extend(islice(self.source, LOOK_AHEAD_MAX - len(self.pending)))
        for place, other in enumerate(self.pending):
            if other[1:] == trade[1:]:
                return place
        return None
