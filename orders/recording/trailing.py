"""Where trailing stops stand, told to rows and feed: the engine moves them without an event.

The engine's memory is the truth of it; rows and frames follow, bounded. An order that a batch is
about anyway brings its level along. The others of a symbol are looked at every LOOK_EVERY_MS at
most, and at most TOLD_PER_LOOK_MAX of those that moved are told, the rest by later looks. A batch
that comes between two looks asks the worker for a turn when the next one is due, so that the last
move is told though nothing else happens.
"""

from collections.abc import Iterable
from typing import Final

from matching.engine.advanced import AdvancedState, Waiting
from matching.engine.core import Engine
from matching.engine.messages import TRIGGER_TRAILING
from matching.worker.ports import Batch
from orders.recording.changes import BatchChanges

LOOK_EVERY_MS: Final = 500
# Of 2,000 that a symbol may have: each is a row and a frame of the batch.
TOLD_PER_LOOK_MAX: Final = 400


class TrailingStops:
    """What was told of one partition's trailing stops. One instance a process.

    A new process has told nothing yet, so it tells all of them once.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # By symbol and order: the waiting order, and the stop price that was told of it.
        self._told: dict[int, dict[int, tuple[Waiting, int]]] = {}
        self._looked_ms: dict[int, int] = {}

    def tell(self, batch: Batch, changes: BatchChanges) -> dict[int, int]:
        """Add the levels to the batch's changes; return when to look again, by symbol."""
        again = {}
        for symbol_id in {row.command.symbol_id for row in batch.sequenced}:
            advanced = self._engine.books[symbol_id].advanced
            told = self._told.get(symbol_id)
            if advanced is None or not (advanced.trailing_live or told):
                continue  # nearly always
            if told is None:
                told = self._told[symbol_id] = {}
            self._tell_named(symbol_id, advanced, told, changes)
            due_ms = self._looked_ms.get(symbol_id, 0) + LOOK_EVERY_MS
            if batch.time_ms < due_ms:
                again[symbol_id] = due_ms
            else:
                self._looked_ms[symbol_id] = batch.time_ms
                if not self._look(symbol_id, advanced, told, changes):
                    again[symbol_id] = batch.time_ms + LOOK_EVERY_MS
        return again

    def _tell_named(
        self,
        symbol_id: int,
        advanced: AdvancedState,
        told: dict[int, tuple[Waiting, int]],
        changes: BatchChanges,
    ) -> None:
        """Tell of the orders that the batch changes: where they stand, or stood when they left."""
        for order_id, change in changes.orders.items():
            if change.symbol_id != symbol_id:
                continue
            waiting = advanced.waiting.get(order_id)
            if waiting is not None:
                if waiting.terms.trigger == TRIGGER_TRAILING:
                    _tell(waiting, told, changes, symbol_id)
            elif order_id in told:
                _tell(told[order_id][0], told, changes, symbol_id)
                del told[order_id]

    def _look(
        self,
        symbol_id: int,
        advanced: AdvancedState,
        told: dict[int, tuple[Waiting, int]],
        changes: BatchChanges,
    ) -> bool:
        """Tell of those that moved; return whether that was all of them."""
        room = TOLD_PER_LOOK_MAX
        for waiting in _watching(advanced):
            known = told.get(waiting.command.order_id)
            if known is None or known[1] != waiting.stop_ticks:
                if not room:
                    return False
                room -= 1
                _tell(waiting, told, changes, symbol_id)
        return True


def _watching(advanced: AdvancedState) -> Iterable[Waiting]:
    for trailing in advanced.trailing.values():
        yield from trailing.values()


def _tell(
    waiting: Waiting, told: dict[int, tuple[Waiting, int]], changes: BatchChanges, symbol_id: int
) -> None:
    order_id = waiting.command.order_id
    told[order_id] = (waiting, waiting.stop_ticks)
    if waiting.stop_ticks:
        change = changes.change(order_id, symbol_id)
        change.trail_stop_ticks = waiting.stop_ticks
        change.trail_bound_ticks = waiting.bound_ticks()
