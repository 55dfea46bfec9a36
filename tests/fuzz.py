"""Random commands against the naive book: `python -m tests.fuzz --commands N --seconds S --seed K`.

Engine and naive book must give the same events after every command, every invariant must hold, the
incremental hash must be the full one, and a restored copy must go on exactly like the original. A
failure prints the seed, the command and both answers; the same arguments show it again.
"""

import argparse
import sys
import time
from itertools import islice
from typing import NamedTuple

from matching import messages as m
from matching.codec import decode_command, encode_command
from matching.engine import Engine
from matching.image import image_decode, image_encode
from matching.snapshot import StateHash, desks_digest, state_hash
from tests.histories import History
from tests.naive_book import NaiveEngine

COMMANDS_PER_HISTORY = 600
# What costs more than the commands themselves is not done after every one of them.
RESTORE_EVERY = 97


class Difference(AssertionError):
    """Engine and naive book, or original and copy, do not agree."""


class Run(NamedTuple):
    commands: int
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


def history_run(seed: int, commands: int, counts: dict[str, int]) -> None:
    """Play one history. Raises AssertionError."""
    engine, naive, kept = Engine(), NaiveEngine(), StateHash()
    symbols = 2 if seed % 2 else 1
    for number, command in enumerate(islice(History(seed, symbols), commands)):
        command = decode_command(encode_command(command))
        expected = naive.apply(decode_command(encode_command(command)))
        happened = engine.apply(command)
        happened += finish(engine, command.symbol_id)
        if without_cuts(happened) != expected:
            raise Difference(
                f"seed {seed}, command {number}: {command}\n  {happened}\n  {expected}"
            )
        engine.check()
        kept.follow(engine.book(command.symbol_id), happened)
        for event in happened:
            name = type(event).__name__
            counts[name] = counts.get(name, 0) + 1
        if number % RESTORE_EVERY == 0:
            states = {symbol_id: book.state for symbol_id, book in engine.books.items()}
            full = state_hash(engine)
            assert kept.hexdigest(engine.sequence, states, desks_digest(engine)) == full
            image = image_encode(engine)
            engine = image_decode(image)
            engine.check()
            assert state_hash(engine) == full, f"seed {seed}: the restored engine differs"
            assert image_encode(engine) == image


def fuzz(commands: int, seconds: float, seed: int) -> Run:
    """Play histories until so many commands or so much time is spent. Raises AssertionError."""
    until = time.monotonic() + seconds
    done = 0
    counts: dict[str, int] = {}
    while done < commands and time.monotonic() < until:
        length = min(COMMANDS_PER_HISTORY, commands - done)
        try:
            history_run(seed, length, counts)
        except AssertionError:
            sys.stderr.write(f"failed with --seed {seed} --commands {length}\n")
            raise
        done += length
        seed += 1
    return Run(done, counts)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3_600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    run = fuzz(options.commands, options.seconds, options.seed)
    sys.stdout.write(f"{run.commands} commands from seed {options.seed}: no difference\n")
    for name, count in sorted(run.events.items()):
        sys.stdout.write(f"{count:>9} {name}\n")


if __name__ == "__main__":
    main()
