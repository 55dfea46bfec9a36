"""What is applied in one turn of the worker: the commands at hand, and its own among them.

The worker makes two kinds of commands itself. A `Continue` goes on with work that a command left
(`ContinueNeeded`); nothing else of its symbol is applied before that work is done. An `Expire` says
that it is time for something. A turn takes a bounded number of pieces, so that a symbol with much
to do keeps no other waiting; the commands that have to wait for it are left for the next turn.

What is due by the clock goes before the commands at hand, but for two kinds of them: urgent ones,
and a cancel-after that was moved before it was due, however late that is heard of.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.messages import CancelAfter, Command, Continue, ContinueNeeded, Expire
from matching.worker.batch_order import moved_in_time, refusals_of
from matching.worker.ports import EngineFailed

COMMANDS_PER_BATCH_MAX: Final = 500
# Each of at most STEPS_PER_COMMAND_MAX steps of 3 to 15 microseconds, and of as many rows.
CONTINUES_PER_BATCH_MAX: Final = 20
# More than this is not kept in memory: what waits in Postgres is found by the sweep.
LEFT_MAX: Final = 10_000


class Sequencer:
    """Applies what is next, in the order in which it must happen.

    For a symbol that is set aside no own commands are made: they failed before.
    """

    def __init__(
        self,
        engine: Engine,
        next_id: Callable[[], int],
        *,
        faulty_ids: frozenset[int] = frozenset(),
        set_aside: frozenset[int] = frozenset(),
        urgent_ids: Collection[int] = (),
    ) -> None:
        self.left: list[Command] = []  # what the last turn did not come to, in order
        self._engine = engine
        self._next_id = next_id
        self._faulty_ids = faulty_ids
        self._set_aside = set_aside
        self._urgent_ids = frozenset(urgent_ids)  # those that are not applied yet
        # Symbols of which a piece of work is next; those that waited longest come first.
        self._unfinished: dict[int, None] = {}
        self._due_ms: dict[int, int] = {}
        self._look_ms: dict[int, int] = {}  # symbols that are to have a batch by then
        self._pieces = 0  # that this turn may still take
        for symbol_id in engine.books:
            if symbol_id not in set_aside and engine.needs_continue(symbol_id):
                self._unfinished[symbol_id] = None
            self._look_ahead(symbol_id)

    def next_due_ms(self) -> int | None:
        """When a turn has something to do though nothing arrives: 0 is at once, None never."""
        if self.left or self._unfinished:
            return 0
        due_ms = min(self._due_ms.values(), default=None)
        if not self._look_ms:
            return due_ms
        look_ms = min(self._look_ms.values())
        return look_ms if due_ms is None else min(due_ms, look_ms)

    def look_again(self, by_symbol: Mapping[int, int]) -> None:
        """Have these symbols looked at again: by an `Expire`, if nothing else comes before."""
        self._look_ms.update(by_symbol)

    def is_due(self, now_ms: int) -> bool:
        """Whether a turn has something to do now, without any command."""
        due_ms = self.next_due_ms()
        return due_ms is not None and due_ms <= now_ms

    def cancel_after_due(self, now_ms: int) -> list[int]:
        """Symbols with a cancel-after that a turn would let fire now."""
        due = [one for one, due_ms in self._due_ms.items() if due_ms <= now_ms]
        return [one for one in due if self._has_cancel_after_due(one, now_ms)]

    def turn(self, commands: Sequence[Command], now_ms: int) -> Iterator[Sequenced]:
        """Apply what is due and the commands, one by one as they are asked for.

        The caller takes all of it, or ends. Raises EngineFailed.
        """
        self.left = []
        touched: set[int] = set()
        for row in self._rows(commands, now_ms):
            touched.add(row.command.symbol_id)
            yield row
        if self._look_ms:
            for row in self._looks(touched, now_ms):
                yield row
        for symbol_id in touched:
            self._look_ahead(symbol_id)

    def _rows(self, commands: Sequence[Command], now_ms: int) -> Iterator[Sequenced]:
        self._pieces = CONTINUES_PER_BATCH_MAX
        moved: set[int] = set()
        for row in self._own(commands, now_ms):
            moved.add(row.command.command_id)
            yield row
        unfinished, faulty_ids = self._unfinished, self._faulty_ids
        room = COMMANDS_PER_BATCH_MAX
        for command in commands:
            if command.command_id in moved:
                continue
            if room <= 0 or command.symbol_id in unfinished:
                if len(self.left) < LEFT_MAX:
                    self.left.append(command)
                continue
            room -= 1
            if command.command_id in faulty_ids:
                for refusal in refusals_of(command):
                    yield self._apply(refusal)
                continue
            row = self._apply(command)
            yield row
            if _leaves_work(row):
                yield from self._continued(command.symbol_id, self._pieces, now_ms)

    def _own(self, commands: Sequence[Command], now_ms: int) -> Iterator[Sequenced]:
        """What is not asked for by anybody: the pieces that are left, and what the clock says.

        With the commands that keep the clock from it.
        """
        unfinished = list(self._unfinished)
        for symbol_id in unfinished:
            share = max(1, CONTINUES_PER_BATCH_MAX // len(unfinished))
            yield from self._continued(symbol_id, share, now_ms)
        due = sorted((due_ms, one) for one, due_ms in self._due_ms.items() if due_ms <= now_ms)
        halting = self._halting(commands) if due else ()
        for _, symbol_id in due:
            if symbol_id in self._unfinished or symbol_id in halting:
                continue
            yield from self._cancel_after_moved(symbol_id, commands, now_ms)
            due_ms = self._engine.next_due_ms(symbol_id)
            if due_ms is None or due_ms > now_ms:
                continue
            row = self._apply(Expire(self._next_id(), now_ms, symbol_id))
            yield row
            if _leaves_work(row):
                yield from self._continued(symbol_id, self._pieces, now_ms)

    def _looks(self, touched: set[int], now_ms: int) -> Iterator[Sequenced]:
        """An `Expire` for each symbol that is to be looked at and has no command in this turn."""
        busy = touched.union(self._unfinished, self._set_aside)
        busy.update(command.symbol_id for command in self.left)
        due = sorted(one for one, due_ms in self._look_ms.items() if due_ms <= now_ms)
        for symbol_id in due:
            del self._look_ms[symbol_id]
            if symbol_id in busy:
                continue  # a batch of its own looks
            row = self._apply(Expire(self._next_id(), now_ms, symbol_id))
            yield row
            if _leaves_work(row):
                yield from self._continued(symbol_id, self._pieces, now_ms)
            self._look_ahead(symbol_id)

    def _halting(self, commands: Sequence[Command]) -> set[int]:
        """Symbols of urgent commands at hand: these go before anything that is due."""
        if not self._urgent_ids:
            return set()
        here = [command for command in commands if command.command_id in self._urgent_ids]
        self._urgent_ids = frozenset(command.command_id for command in here)
        return {command.symbol_id for command in here}

    def _cancel_after_moved(
        self, symbol_id: int, commands: Sequence[Command], now_ms: int
    ) -> Iterator[Sequenced]:
        if not self._has_cancel_after_due(symbol_id, now_ms):
            return
        advanced = self._engine.books[symbol_id].advanced
        assert advanced is not None
        settings = [
            command
            for command in commands
            if isinstance(command, CancelAfter)
            and command.symbol_id == symbol_id
            and command.command_id not in self._faulty_ids
        ]
        for command in moved_in_time(advanced.cancel_after, settings, now_ms):
            yield self._apply(command)

    def _has_cancel_after_due(self, symbol_id: int, now_ms: int) -> bool:
        advanced = self._engine.books[symbol_id].advanced
        return advanced is not None and any(
            due_ms <= now_ms for due_ms in advanced.cancel_after.values()
        )

    def _continued(self, symbol_id: int, pieces: int, now_ms: int) -> Iterator[Sequenced]:
        """Apply up to so many pieces; what is left then is next in a later turn."""
        self._unfinished.pop(symbol_id, None)
        for _ in range(pieces):
            self._pieces = max(0, self._pieces - 1)
            row = self._apply(Continue(self._next_id(), now_ms, symbol_id))
            yield row
            if not _leaves_work(row):
                return
        self._unfinished[symbol_id] = None

    def _apply(self, command: Command) -> Sequenced:
        engine = self._engine
        try:
            events = engine.apply(command)
        except Exception as error:
            raise EngineFailed(command, error) from error
        return Sequenced(engine.sequence, command, events, engine.rules)

    def _look_ahead(self, symbol_id: int) -> None:
        """Remember when the symbol's next `Expire` is due."""
        book = self._engine.books[symbol_id]
        if book.advanced is None or symbol_id in self._set_aside:
            return
        due_ms = book.advanced.next_due_ms()
        if due_ms is None:
            self._due_ms.pop(symbol_id, None)
        else:
            self._due_ms[symbol_id] = due_ms


def _leaves_work(row: Sequenced) -> bool:
    events = row.events
    return bool(events) and type(events[-1]) is ContinueNeeded
