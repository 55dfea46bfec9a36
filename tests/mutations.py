"""Plant faults in a copy of the engine and show that each is caught: `python -m tests.mutations`.

A fault counts as caught where the comparison with the naive book fails on it, or the one with the
oracle; some are there to show what the oracle sees, and only it is asked. Each one is a change of
one place that a hurried hand could make.
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
ORACLE: Final = ["-m", "tests.oracles", "--histories", "20"]


class Fault(NamedTuple):
    """One planted fault: in this file this text becomes that."""

    name: str
    file: str
    old: str
    new: str
    is_for_oracle: bool = False


FAULTS: Final = (
    Fault(
        "a taker stops one tick before its limit",
        "engine/execution.py",
        "while left_lots and keys and keys[-1] >= limit_key:",
        "while left_lots and keys and keys[-1] > limit_key:",
    ),
    Fault(
        "a partial fill goes to the back of the queue",
        "engine/book.py",
        "        self.reduce(order, quantity_lots)\n        return left_lots + order.hidden_lots",
        "        self.remove(order)\n        order.left_lots = left_lots\n"
        "        order.priority = sequence\n        self.add(order)\n"
        "        return left_lots + order.hidden_lots",
    ),
    Fault(
        "a trade at the taker's price",
        "engine/execution.py",
        "        maker.price_ticks,\n        lots,\n        book.fill",
        "        taker.price_ticks,\n        lots,\n        book.fill",
    ),
    Fault(
        "stops compare the wrong way round",
        "engine/components.py",
        "return UP if (self.command.side == BUY) != is_take else DOWN",
        "return UP if (self.command.side == BUY) == is_take else DOWN",
    ),
    Fault(
        "what was triggered comes in youngest first",
        "engine/components.py",
        "        insort(self.entries, (rank, priority, order_id))",
        "        insort(self.entries, (rank, -priority, order_id))",
    ),
    Fault(
        "a refreshed slice keeps its place",
        "engine/book.py",
        "                order.priority = sequence\n",
        "",
    ),
    Fault(
        "a stale price triggers after a halt",
        "engine/auction.py",
        "        advanced.is_last_fresh = False  # triggers wait for a trade after reopening",
        "        pass",
    ),
    Fault(
        "a trailing stop follows the price back",
        "engine/triggers.py",
        "(price_ticks < mark_ticks if is_buy else price_ticks > mark_ticks)",
        "price_ticks != mark_ticks",
    ),
    Fault(
        "the other order of an OCO lives on after a part of a fill",
        "engine/lists.py",
        "[]\n    if not order_list.parent_id:\n        _dissolve",
        "[]\n    if not order_list.parent_id and is_filled:\n        _dissolve",
    ),
    Fault(
        "an OTO is released by a part of a fill",
        "engine/lists.py",
        "return _released(book, advanced, order_list, events) if is_filled else []",
        "return _released(book, advanced, order_list, events)",
    ),
    Fault(
        "an auction forgets what is left over",
        "engine/auction.py",
        "(-min(buy, sell), abs(buy - sell), abs(price - reference_ticks), price, buy - sell)",
        "(-min(buy, sell), 0, abs(price - reference_ticks), price, buy - sell)",
    ),
    Fault(
        "a fill-or-kill forgets what is hidden",
        "engine/execution.py",
        "        missing_lots -= level.quantity_lots + level.hidden_lots",
        "        missing_lots -= level.quantity_lots",
    ),
    Fault(
        "groups do not count for self-trade prevention",
        "engine/execution.py",
        "return taker.account_id, taker.group_id or _NOBODY",
        "return taker.account_id, _NOBODY",
    ),
    Fault(
        "the band lets market orders through",
        "engine/bands.py",
        "return min(price_ticks, high_ticks) if side == BUY else max(price_ticks, low_ticks)",
        "return price_ticks",
    ),
    Fault(
        "an expired order stays one millisecond",
        "engine/cancels.py",
        "if not expire_ms or expire_ms > command.time_ms:",
        "if not expire_ms or expire_ms >= command.time_ms:",
    ),
    Fault(
        "decrement takes lots off an order that releases others",
        "engine/execution.py",
        "book.advanced.is_parent(maker.order_id)",
        "False",
    ),
    Fault(
        "the hash that is kept up to date misses a cancel-after",
        "engine/advanced.py",
        '        self.noted("timer", key, (account_id, owner_tag, due_ms) if due_ms else None)',
        "        pass",
    ),
    Fault(
        "the hash that is kept up to date misses the end of a list",
        "engine/lists.py",
        "    advanced.list_noted(order_list)\n    for one in order_list.order_ids:",
        "    for one in order_list.order_ids:",
    ),
    Fault(
        "everyone's cancels leave what waits",
        "engine/cancels.py",
        "    if waiting:\n        advanced.cancels.extendleft",
        "    if False:\n        advanced.cancels.extendleft",
    ),
    Fault(
        "the band stands where its reference was",
        "engine/bands.py",
        "kept is None or kept[0] != band.reference_ticks or",
        "kept is None or",
    ),
    Fault(
        "what is released sees a price from before",
        "engine/cascade.py",
        "            advanced.last_ticks = price_ticks\n",
        "",
    ),
    Fault(
        "what is released sees the first price of the order that filled its own",
        "engine/cascade.py",
        "        price_seen(advanced, LAST, first_ticks)\n"
        "        for waiting, price_ticks in released:\n"
        "            advanced.last_ticks = price_ticks\n"
        "            lists.release(book, advanced, waiting, events)\n",
        "        for waiting, price_ticks in released:\n"
        "            advanced.last_ticks = price_ticks\n"
        "            lists.release(book, advanced, waiting, events)\n"
        "        price_seen(advanced, LAST, first_ticks)\n",
    ),
    Fault(
        "an auction's price counts what self-trade prevention ends",
        "engine/auction.py",
        "bought, sold = counted(book, bid, ask)",
        "bought, sold = _totals(book.bids, ask), _totals(book.asks, -bid)",
    ),
    Fault(
        "an iceberg's parts are as young as their place",
        "engine/resting.py",
        "return self.since or self.priority, self.order_id",
        "return self.priority, self.order_id",
    ),
    Fault(
        "a market order outlives its auction",
        "engine/auction.py",
        "elif advanced.at_open and state not in AUCTIONS and book.rules >= RULES_MENDED:",
        "elif False:",
    ),
    Fault(
        "what stands beyond the band trades at its own price",
        "engine/entry.py",
        "edge_ticks = bands.edge_passed(book, advanced, order.side) if advanced",
        "edge_ticks = 0 if advanced",
    ),
    Fault(
        "an amend trades beyond the band",
        "engine/amends.py",
        "edge_ticks = 0 if advanced is None else bands.edge_passed(book, advanced, order.side)",
        "edge_ticks = 0",
    ),
    Fault(
        "a limit that waits for nothing counts as waiting in its list",
        "engine/lists.py",
        "waiting + is_waiting",
        "waiting + 1",
    ),
    Fault(
        "a trailing bound gets worse than the one that was paid for",
        "engine/components.py",
        "return min(bound_ticks, stop_ticks * (PPM + ppm) // PPM)",
        "return stop_ticks * (PPM + ppm) // PPM",
    ),
    Fault(
        "what prevention took of a quote amount counts as spent",
        "engine/execution.py",
        "spent = SELF_TRADE if book.rules >= RULES_MENDED else BUDGET_SPENT",
        "spent = BUDGET_SPENT",
    ),
    Fault(
        "a limit state outlives its interruption",
        "engine/bands.py",
        "if band.phase == PHASE_LIMIT and not band.limit_ms and book.rules >= RULES_MENDED:",
        "if False:",
    ),
    Fault(
        "a post-only order moves beyond its furthest price",
        "engine/entry.py",
        "or one_away < 1 or _is_beyond(order.side, one_away, terms):",
        "or one_away < 1:",
    ),
    Fault(
        "the fast path forgets a limit",
        "engine/fast_path.py",
        "and limit_refusal(book, advanced, command) is not None",
        "and False",
    ),
    Fault(
        "the fast path goes up to the band's edge",
        "engine/fast_path.py",
        "or not advanced.fast_above_ticks < command.price_ticks < advanced.fast_below_ticks",
        "or not advanced.fast_above_ticks <= command.price_ticks <= advanced.fast_below_ticks",
    ),
    Fault(
        "the fast path stays open while the mean of a band loses trades",
        "engine/bands.py",
        "        until_ms = advanced.samples[0][0] * BUCKET_MS + MEAN_OVER_MS\n",
        "",
    ),
    Fault(
        "the fast path ends an order of a list alone",
        "engine/fast_path.py",
        "        or order_id in advanced.list_of\n",
        "",
    ),
    Fault(
        "the fast path forgets who watches the best price",
        "engine/advanced.py",
        "        self.best_live += source != LAST\n",
        "",
    ),
    Fault(
        "an auction forgets the reference",
        "engine/auction.py",
        "abs(price - reference_ticks), price, buy - sell)",
        "0, price, buy - sell)",
        is_for_oracle=True,
    ),
    Fault(
        "a smaller total is taken from the shown part first",
        "engine/amends.py",
        "hidden_lots = min(lots, order.hidden_lots)",
        "hidden_lots = max(0, lots - order.left_lots + 1)",
        is_for_oracle=True,
    ),
    Fault(
        "an activation price has to be passed",
        "engine/triggers.py",
        "(price_ticks - terms.activation_ticks) * favour < 0:",
        "(price_ticks - terms.activation_ticks) * favour <= 0:",
        is_for_oracle=True,
    ),
    Fault(
        "the mean of a band goes back five seconds too far",
        "engine/bands.py",
        "while samples and samples[0][0] <= oldest:",
        "while samples and samples[0][0] < oldest:",
        is_for_oracle=True,
    ),
    Fault(
        "the end of one order that waits for another ends them all",
        "engine/lists.py",
        "if order_list.parent_id in (0, order_id):",
        "if True:",
        is_for_oracle=True,
    ),
    Fault(
        "the other order of an OCO outlives a trigger",
        "engine/lists.py",
        """its OCO partner ends before the order enters.\"\"\"
    order_list = advanced.list_of[order_id]
    if not""",
        """its OCO partner ends before the order enters.\"\"\"
    order_list = advanced.list_of[order_id]
    if False and not""",
        is_for_oracle=True,
    ),
    Fault(
        "a restart forgets what was triggered",
        "state/snapshot.py",
        "        advanced.triggered.append(advanced.waiting[order_id])",
        "        pass",
    ),
)


def is_caught(fault: Fault) -> bool:
    """Tell whether a comparison fails on the fault."""
    with tempfile.TemporaryDirectory(prefix="takas-fault-") as name:
        copy = Path(name)
        for folder in ("matching", "tests"):
            shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("*.pyc"))
        path = copy / "matching" / fault.file
        text = path.read_text()
        assert text.count(fault.old) == 1, f"{fault.name}: the place is not there, or twice"
        path.write_text(text.replace(fault.old, fault.new))
        checks = (ORACLE,) if fault.is_for_oracle else _checks()
        return any(_fails(copy, arguments) for arguments in checks)


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
    sound = Fault("no fault at all", "engine/codes.py", '"""Why', '"""Why')
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
