"""The sequencer: applies the given commands and the worker's own commands, one turn after another.

The worker makes two kinds of commands itself. A `Continue` goes on with work that a command left
(`ContinueNeeded`); no other command of the symbol is applied before that work is done. An `Expire`
does what is due by the clock. A turn applies a bounded number of `Continue`, so that a symbol with
much work does not delay the others; commands that have to wait for it are left for the next turn.

An `Expire` that is due goes before the given commands, with two exceptions: urgent commands, and
settings that moved a cancel-after before it was due, however late these arrive.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.messages import CancelAfter, Command, Continue, ContinueNeeded, Expire
from matching.worker.batch_order import moved_in_time, refusals_of
from matching.worker.ports import EngineFailed

COMMANDS_PER_BATCH_MAX: Final = 500
# Each has at most STEPS_PER_COMMAND_MAX steps of 3 to 15 microseconds, and as many rows.
CONTINUES_PER_BATCH_MAX: Final = 20
# More commands are not kept in memory: the sweep finds them in Postgres.
LEFT_MAX: Final = 10_000


class Sequencer:
    """Decides which command is applied next, and applies it.

    A symbol in `set_aside` gets no own commands of the worker, because they failed before.
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
        self.left: list[Command] = []  # commands that the last turn did not apply, in order
        self._engine = engine
        self._next_id = next_id
        self._faulty_ids = faulty_ids
        self._set_aside = set_aside
        self._urgent_ids = frozenset(urgent_ids)  # ids of urgent commands not applied yet
        # Symbols whose next command is a `Continue`; those that waited longest come first.
        self._unfinished: dict[int, None] = {}
        self._due_ms: dict[int, int] = {}  # by symbol: when its next `Expire` is due
        self._look_ms: dict[int, int] = {}  # by symbol: when it needs another batch
        self._pieces = 0  # how many `Continue` this turn may still apply
        for symbol_id in engine.books:
            if symbol_id not in set_aside and engine.needs_continue(symbol_id):
                self._unfinished[symbol_id] = None
            self._look_ahead(symbol_id)

    def next_due_ms(self) -> int | None:
        """Return when a turn has work without any arrival, in ms; 0: at once, None: never."""
        if self.left or self._unfinished:
            return 0
        due_ms = min(self._due_ms.values(), default=None)
        if not self._look_ms:
            return due_ms
        look_ms = min(self._look_ms.values())
        return look_ms if due_ms is None else min(due_ms, look_ms)

    def look_again(self, by_symbol: Mapping[int, int]) -> None:
        """Give each symbol a batch by its time in ms: an `Expire`, if no command comes before."""
        self._look_ms.update(by_symbol)

    def is_due(self, now_ms: int) -> bool:
        """Return whether a turn has work now, without any command given."""
        due_ms = self.next_due_ms()
        return due_ms is not None and due_ms <= now_ms

    def cancel_after_due(self, now_ms: int) -> list[int]:
        """Return the symbols with a cancel-after that would fire in a turn now."""
        due = [one for one, due_ms in self._due_ms.items() if due_ms <= now_ms]
        return [one for one in due if self._has_cancel_after_due(one, now_ms)]

    def turn(self, commands: Sequence[Command], now_ms: int) -> Iterator[Sequenced]:
        """Apply due own commands and the given commands; yield a journal row after each.

        The caller must take all rows, or end the process. Raises EngineFailed.
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
        """Apply the worker's own commands: `Continue` for work that is left, `Expire` if due.

        Settings that keep a cancel-after from firing are applied before the `Expire`.
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
        """Apply an `Expire` to each symbol that needs a batch by now and had no command."""
        busy = touched.union(self._unfinished, self._set_aside)
        busy.update(command.symbol_id for command in self.left)
        due = sorted(one for one, due_ms in self._look_ms.items() if due_ms <= now_ms)
        for symbol_id in due:
            del self._look_ms[symbol_id]
            if symbol_id in busy:
                continue  # the symbol's own commands bring it a batch
            row = self._apply(Expire(self._next_id(), now_ms, symbol_id))
            yield row
            if _leaves_work(row):
                yield from self._continued(symbol_id, self._pieces, now_ms)
            self._look_ahead(symbol_id)

    def _halting(self, commands: Sequence[Command]) -> set[int]:
        """Return the symbols of urgent commands in this turn: nothing due goes before these."""
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
        """Apply up to `pieces` of `Continue`; work that is left then is next in a later turn."""
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
