"""Plant faults in a copy of the engine and show that each is caught: `python -m tests.mutations`.

A fault counts as caught where the comparison with the naive book fails on it. Each one is a change
of one place that a hurried hand could make.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
COMMANDS: Final = 20_000
SECONDS_MAX: Final = 120


class Fault(NamedTuple):
    """One planted fault: in this file this text becomes that."""

    name: str
    file: str
    old: str
    new: str


FAULTS: Final = (
    Fault(
        "a taker stops one tick before its limit",
        "taking.py",
        "while left_lots and keys and keys[-1] >= limit_key:",
        "while left_lots and keys and keys[-1] > limit_key:",
    ),
    Fault(
        "a partial fill goes to the back of the queue",
        "book.py",
        "        self.reduce(order, quantity_lots)\n        return left_lots + order.hidden_lots",
        "        self.remove(order)\n        order.left_lots = left_lots\n"
        "        order.priority = sequence\n        self.add(order)\n"
        "        return left_lots + order.hidden_lots",
    ),
    Fault(
        "a trade at the taker's price",
        "taking.py",
        "            maker.price_ticks,\n            lots,\n            book.fill",
        "            taker.price_ticks,\n            lots,\n            book.fill",
    ),
    Fault(
        "stops compare the wrong way round",
        "parts.py",
        "return UP if (self.command.side == BUY) != is_take else DOWN",
        "return UP if (self.command.side == BUY) == is_take else DOWN",
    ),
    Fault(
        "what was woken comes in youngest first",
        "parts.py",
        "        insort(self.entries, (rank, priority, order_id))",
        "        insort(self.entries, (rank, -priority, order_id))",
    ),
    Fault(
        "a refreshed slice keeps its place",
        "book.py",
        "            if hidden_lots:\n                order.priority = sequence\n",
        "            if hidden_lots:\n",
    ),
    Fault(
        "a stale price wakes after a halt",
        "auction.py",
        "        desk.is_last_fresh = False  # what waits for a price waits for a new one",
        "        pass",
    ),
    Fault(
        "a trailing stop follows the price back",
        "triggers.py",
        "(price_ticks < mark_ticks if is_buy else price_ticks > mark_ticks)",
        "price_ticks != mark_ticks",
    ),
    Fault(
        "the other order of an OCO lives on after a part of a fill",
        "lists.py",
        "    elif not order_list.parent_id:\n        _dissolve",
        "    elif not order_list.parent_id and is_filled:\n        _dissolve",
    ),
    Fault(
        "an OTO is released by a part of a fill",
        "lists.py",
        "        if is_filled:\n            _release",
        "        if True:\n            _release",
    ),
    Fault(
        "an auction forgets what is left over",
        "auction.py",
        "(-min(buy, sell), abs(buy - sell), abs(price - reference_ticks), price, buy - sell)",
        "(-min(buy, sell), 0, abs(price - reference_ticks), price, buy - sell)",
    ),
    Fault(
        "a fill-or-kill forgets what is hidden",
        "taking.py",
        "        missing_lots -= level.quantity_lots + level.hidden_lots",
        "        missing_lots -= level.quantity_lots",
    ),
    Fault(
        "groups do not count for self-trade prevention",
        "taking.py",
        "return taker.account_id, taker.group_id or _NOBODY",
        "return taker.account_id, _NOBODY",
    ),
    Fault(
        "the band lets market orders through",
        "bands.py",
        "return min(price_ticks, high_ticks) if side == BUY else max(price_ticks, low_ticks)",
        "return price_ticks",
    ),
    Fault(
        "an expired order stays one millisecond",
        "ending.py",
        "if not expire_ms or expire_ms > command.time_ms:",
        "if not expire_ms or expire_ms >= command.time_ms:",
    ),
    Fault(
        "decrement takes lots off an order that releases others",
        "taking.py",
        "book.desk.is_parent(maker.order_id)",
        "False",
    ),
    Fault(
        "the hash that is kept up to date misses a timer",
        "desk.py",
        '        self.noted("timer", key, (account_id, owner_tag, due_ms) if due_ms else None)',
        "        pass",
    ),
    Fault(
        "the hash that is kept up to date misses the end of a list",
        "lists.py",
        "    desk.list_noted(order_list)\n    for one in order_list.order_ids:",
        "    for one in order_list.order_ids:",
    ),
    Fault(
        "everyone's cancels leave what waits",
        "ending.py",
        "    if waiting:\n        desk.cancels.extendleft",
        "    if False:\n        desk.cancels.extendleft",
    ),
    Fault(
        "the band stands where its reference was",
        "bands.py",
        "kept is None or kept[0] != band.reference_ticks or",
        "kept is None or",
    ),
    Fault(
        "a restart forgets what was elected",
        "image.py",
        "        desk.elected.append(desk.waiting[order_id])",
        "        pass",
    ),
)


def is_caught(fault: Fault) -> bool:
    """Tell whether the comparison with the naive book fails on the fault."""
    with tempfile.TemporaryDirectory(prefix="takas-fault-") as name:
        copy = Path(name)
        for folder in ("matching", "tests"):
            shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("*.pyc"))
        path = copy / "matching" / fault.file
        text = path.read_text()
        assert text.count(fault.old) == 1, f"{fault.name}: the place is not there, or twice"
        path.write_text(text.replace(fault.old, fault.new))
        return any(_fails(copy, arguments) for arguments in _checks())


def _checks() -> tuple[list[str], ...]:
    play = (
        "from tests.scenario import run\n"
        "from tests.unit.matching.test_scenarios import blocks\n"
        "from tests.unit.matching import test_work_in_pieces as pieces\n"
        "[run(log) for _, log in blocks()]\n"
        "pieces.test_25_3_a_restart_in_the_middle_goes_on_where_it_was()\n"
    )
    return ["-c", play], ["-m", "tests.fuzz", "--commands", str(COMMANDS), "--seed", "1"]


def _fails(folder: Path, arguments: list[str]) -> bool:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    return done.returncode != 0


def main() -> int:
    """Print each fault and what came of it; return the exit code."""
    sound = Fault("no fault at all", "codes.py", '"""Why', '"""Why')
    assert not is_caught(sound), "the checks fail without any fault"
    missed = 0
    for fault in FAULTS:
        caught = is_caught(fault)
        missed += not caught
        sys.stdout.write(f"{'caught' if caught else 'MISSED'}  {fault.name}\n")
        sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
