"""Random commands against the naive book: `python -m tests.fuzz --commands N --seconds S --seed K`.

Engine and naive book must give the same events after every command, every invariant must hold, the
incremental hash must be the full one, and a restored copy must go on exactly like the original.
Half of the histories go into the corners (`tests/oracles/generator.py`): there the oracle, which
was written from the text of the rules alone, and the referee must agree, too. A failure prints the
seed, the command and both answers; the same arguments show it again. How far it is goes to the
standard error, the summary to the standard output; it ends by itself.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from matching.engine import cascade
from matching.engine import messages as m
from matching.engine.core import Engine
from matching.state.codec import decode_command, encode_command
from matching.state.hash import StateHash, advanced_hash, state_hash
from matching.state.snapshot import snapshot_decode, snapshot_encode
from tests.histories import History
from tests.oracles.generator import SUBJECTS, Corners
from tests.oracles.naive.book import NaiveEngine
from tests.oracles.pair import Judges

COMMANDS_PER_HISTORY = 600
JUDGED_SEEDS = (1, 2)  # of every four; so both kinds have even and odd ones
# What costs more than the commands themselves is not done after every one of them.
RESTORE_EVERY = 97
TELL_EVERY_S = 10.0


class Difference(AssertionError):
    """Engine and naive book, or original and copy, do not agree."""


class Run(NamedTuple):
    """What a run did: `restores` are copies that were compared and gone on with."""

    seed: int
    commands: int
    histories: int
    restores: int
    events: dict[str, int]


def finish(engine: Engine, symbol_id: int) -> list[m.Event]:
    """Sequence `Continue` as long as the engine asks for it; return the events."""
    events: list[m.Event] = []
    while engine.needs_continue(symbol_id):
        events += engine.apply(m.Continue(0, 0, symbol_id))
    return events


def without_cuts(events: list[m.Event]) -> list[m.Event]:
    """Leave out what only says where work was cut into pieces."""
    return [event for event in events if type(event) is not m.ContinueNeeded]


class Pair:
    """Engine and naive book under the same commands."""

    def __init__(self) -> None:
        self.engine, self.naive, self.kept = Engine(), NaiveEngine(), StateHash()
        # What the naive book has told and the engine, by symbol, has still to tell.
        self.owed: dict[int, list[m.Event]] = {}

    def apply(self, command: m.Command, *, is_finished: bool = True) -> list[m.Event]:
        """Apply one command to both; leave cut work undone unless `is_finished`."""
        command = decode_command(encode_command(command))
        symbol_id = command.symbol_id
        owed = self.owed.setdefault(symbol_id, [])
        owed += self.naive.apply(decode_command(encode_command(command)))
        happened = self.engine.apply(command)
        if is_finished:
            happened += finish(self.engine, symbol_id)
        told = without_cuts(happened)
        if told != owed[: len(told)]:
            raise Difference(f"{command}\n  engine: {happened}\n  naive: {owed}")
        del owed[: len(told)]
        if owed and not self.engine.needs_continue(symbol_id):
            raise Difference(f"{command}\n  the naive book also tells: {owed}")
        self.engine.check()
        self.kept.follow(self.engine.book(symbol_id), happened)
        advanced_hash(self.engine)  # kept up to date from here on, and compared in `restore`
        return happened

    def restore(self) -> None:
        """Go on with a copy made from the engine's snapshot."""
        engine = self.engine
        states = {symbol_id: book.state for symbol_id, book in engine.books.items()}
        full = state_hash(engine)
        assert self.kept.hexdigest(engine.sequence, states, advanced_hash(engine)) == full
        snapshot = snapshot_encode(engine)
        self.engine = snapshot_decode(snapshot)
        self.engine.check()
        assert state_hash(self.engine) == full, "the restored engine differs"
        assert snapshot_encode(self.engine) == snapshot


def history_run(seed: int, commands: int, counts: dict[str, int]) -> None:
    """Play one history of the kind that this seed has. Raises AssertionError."""
    play = judged_run if seed % 4 in JUDGED_SEEDS else crowded_run
    play(seed, commands, counts)


def judged_run(seed: int, commands: int, counts: dict[str, int]) -> None:
    """Play one history of the corners, with oracle and referee. Some are cut after each step."""
    chance = random.Random(seed)
    pair, judges = Pair(), Judges()
    subject = tuple(SUBJECTS)[seed // 2 % len(SUBJECTS)]
    history = iter(Corners(chance, subject, judges.oracle))
    with steps_of(1 if seed % 3 == 0 else cascade.STEPS_PER_COMMAND_MAX):
        for number in range(commands):
            command = next(history)
            told = without_cuts(pair.apply(command))
            judges.judge(pair.engine, command, told)
            count(told, counts)
            if number % RESTORE_EVERY == 0:
                pair.restore()


def count(told: list[m.Event], counts: dict[str, int]) -> None:
    """Add the events to the counts of their kinds."""
    for event in told:
        name = type(event).__name__
        counts[name] = counts.get(name, 0) + 1


def crowded_run(seed: int, commands: int, counts: dict[str, int]) -> None:
    """Play one history. Every third one cuts work after each step, and seldom goes on at once.

    Raises AssertionError.
    """
    chance = random.Random(seed)
    history = History(chance, symbols=1 + seed % 2)
    pair = Pair()
    is_cut = seed % 3 == 0
    with steps_of(1 if is_cut else cascade.STEPS_PER_COMMAND_MAX):
        for number in range(commands):
            is_finished = not is_cut or chance.random() < 0.5
            count(pair.apply(history.command(), is_finished=is_finished), counts)
            if number % RESTORE_EVERY == 0:
                pair.restore()


@contextmanager
def steps_of(count: int) -> Iterator[None]:
    """Let a command take so many steps only."""
    usual = cascade.STEPS_PER_COMMAND_MAX
    vars(cascade)["STEPS_PER_COMMAND_MAX"] = count
    try:
        yield
    finally:
        vars(cascade)["STEPS_PER_COMMAND_MAX"] = usual


def fuzz(
    commands: int, seconds: float, seed: int, tell: Callable[[int, float], None] | None = None
) -> Run:
    """Play histories until so many commands or so much time is spent. Raises AssertionError.

    `tell` is called now and then with the commands done and the seconds spent.
    """
    started = told = time.monotonic()
    first, done, restores = seed, 0, 0
    counts: dict[str, int] = {}
    while done < commands and time.monotonic() < started + seconds:
        length = min(COMMANDS_PER_HISTORY, commands - done)
        try:
            history_run(seed, length, counts)
        except AssertionError:
            sys.stderr.write(f"failed with --seed {seed} --commands {length}\n")
            raise
        done += length
        restores += -(-length // RESTORE_EVERY)
        seed += 1
        if tell is not None and time.monotonic() >= told + TELL_EVERY_S:
            told = time.monotonic()
            tell(done, told - started)
    return Run(first, done, seed - first, restores, counts)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3_600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    def tell(done: int, spent_s: float) -> None:
        sys.stderr.write(
            f"{done:>10,} of {options.commands:,} commands, {spent_s:.0f} s: no difference so far\n"
        )
        sys.stderr.flush()

    run = fuzz(options.commands, options.seconds, options.seed, tell)
    out = sys.stdout
    out.write(f"seeds {run.seed} to {run.seed + run.histories - 1}: {run.histories:,} histories\n")
    out.write(f"{run.commands:,} commands: the same events as the naive book, invariants kept\n")
    out.write("half of the histories: the same events as the oracle, no foul of the referee's\n")
    out.write(
        f"{run.restores:,} restores: the same hash in full and kept up to date, same snapshot\n"
    )
    for name, count in sorted(run.events.items()):
        out.write(f"{count:>10,} {name}\n")
    if run.commands < options.commands:
        out.write(f"the time of {options.seconds:.0f} s was up before all commands were played\n")


if __name__ == "__main__":
    main()
