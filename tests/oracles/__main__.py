"""Compare engine, rules oracle and referee: `python -m tests.oracles --histories N`.

It plays random histories of every subject. The naive book takes no part, so that a fault found here
is found by oracle or referee. On a difference it prints a shortest history that still shows one,
and exits with 1.
"""

import argparse
import random
import sys
from itertools import islice

from matching.engine import messages as m
from tests.oracles.generator import SUBJECTS, Corners
from tests.oracles.pair import Beside


def failing(subject: str, seed: int, commands: int) -> list[m.Command]:
    """Play one history; return it up to the first difference, or an empty list."""
    beside, played = Beside(), list[m.Command]()
    for command in islice(Corners(random.Random(seed), subject, beside.judges.oracle), commands):
        played.append(command)
        try:
            beside.apply(command)
        except AssertionError:
            return played
    return []


def difference_of(history: list[m.Command]) -> tuple[int, str] | None:
    """Play a history; return the index of the first difference and its text, or None."""
    beside = Beside()
    for place, command in enumerate(history):
        try:
            beside.apply(command)
        except AssertionError as error:
            return place, str(error)
    return None


def shortened(history: list[m.Command]) -> list[m.Command]:
    """Return a shorter history with a difference, by removing ever smaller pieces."""
    piece = len(history) // 2
    while piece:
        start = 0
        while start < len(history):
            without = history[:start] + history[start + piece :]
            found = difference_of(without)
            if found is None:
                start += piece
            else:
                history = without[: found[0] + 1]
        piece //= 2
    return history


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=50, help="of each subject")
    parser.add_argument("--commands", type=int, default=400, help="of each history")
    parser.add_argument("--seed", type=int, default=0, help="of the first history")
    options = parser.parse_args()
    for seed in range(options.seed, options.seed + options.histories):
        for subject in SUBJECTS:
            history = failing(subject, seed, options.commands)
            if history:
                tell(f"history {seed} about {subject}", shortened(history))
                return 1
    total = options.histories * len(SUBJECTS) * options.commands
    sys.stdout.write(f"{total:,} commands: what the rules say, event by event\n")
    return 0


def tell(name: str, history: list[m.Command]) -> None:
    """Print a history and the difference at its last command."""
    found = difference_of(history)
    assert found is not None, "the shortest history shows a difference, too"
    lines = [name, *(f"  {command}" for command in history[:-1]), found[1]]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
