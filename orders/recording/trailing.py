"""The stop prices of trailing stops, for rows and feed. The engine moves them without an event.

The engine's memory is authoritative; rows and frames follow with bounded work. An order that a
batch changes is told with the batch. The other trailing stops of a symbol are looked at once in
LOOK_EVERY_MS at most. One look tells at most TOLD_PER_LOOK_MAX of the stops that moved; later looks
tell the rest. A batch between two looks asks the worker for a turn when the next look is due, so
that the last move is told even if no other command arrives.
"""

from collections.abc import Iterable
from typing import Final

from matching.engine.advanced import AdvancedState
from matching.engine.components import Waiting
from matching.engine.core import Engine
from matching.engine.messages import TRIGGER_TRAILING
from matching.worker.ports import Batch
from orders.recording.changes import BatchChanges

LOOK_EVERY_MS: Final = 500
# A symbol may have 2,000 trailing stops, and each stop told is a row and a frame of the batch.
TOLD_PER_LOOK_MAX: Final = 400


class TrailingStops:
    """The stop prices last told of one partition's trailing stops. One instance a process.

    A new process has told no stop yet, so it tells every stop once.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # By symbol id and order id: the waiting order, and its stop price when last told.
        self._told: dict[int, dict[int, tuple[Waiting, int]]] = {}
        self._looked_ms: dict[int, int] = {}

    def tell(self, batch: Batch, changes: BatchChanges) -> dict[int, int]:
        """Add the stops that moved to the changes; return when to look again (ms) by symbol id."""
        again = {}
        for symbol_id in {row.command.symbol_id for row in batch.sequenced}:
            advanced = self._engine.books[symbol_id].advanced
            told = self._told.get(symbol_id)
            if advanced is None or not (advanced.trailing_live or told):
                continue  # nearly every symbol has no trailing stop
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
        """Tell the stops of orders that the batch changes; of an order that left, its last stop."""
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
        """Tell the stops that moved; return False when some are left for a later look."""
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
