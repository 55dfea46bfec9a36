"""Run the tests again and again on a busy machine: `python -m tests.flakes --runs 10 [PYTEST ...]`.

Beside them so many processes do nothing but compute. Tells which tests failed in which run, and
ends with 1 if any did. Bounded by the runs, and each of them by `--seconds`.
"""

import argparse
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from config.stack.servers import child_command

ROOT: Final = Path(__file__).resolve().parents[1]
FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
ENDLESS: Final = "while True: pass"


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Keep the processors busy; the loops end with this process, whatever ends it."""
    command = child_command([sys.executable, "-c", ENDLESS], signal.SIGKILL)
    started = [subprocess.Popen(command) for _ in range(loops)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def run_once(words: list[str], seconds: float) -> tuple[int, list[str]]:
    """Run pytest; return its status and the names of what failed."""
    command = child_command([sys.executable, "-m", "pytest", *words], signal.SIGTERM)
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return 1, [f"(not over after {seconds:g} s)"]
    failed = FAILED.findall(done.stdout)
    if done.returncode != 0:
        sys.stdout.write(done.stdout[-20_000:] + done.stderr[-2_000:])
    return done.returncode, failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--loops", type=int, default=2, help="processes that only compute")
    parser.add_argument("--seconds", type=float, default=3_600, help="of one run, at most")
    options, words = parser.parse_known_args()
    found: Counter[str] = Counter()
    bad = 0
    with busy(options.loops):
        for number in range(1, options.runs + 1):
            began = time.monotonic()
            status, failed = run_once(words, options.seconds)
            bad += status != 0
            found.update(failed)
            took = time.monotonic() - began
            sys.stdout.write(f"run {number}: {'good' if status == 0 else failed}, {took:.0f} s\n")
            sys.stdout.flush()
    for name, count in found.most_common():
        sys.stdout.write(f"{count} of {options.runs}: {name}\n")
    sys.stdout.write(f"{options.runs - bad} of {options.runs} runs good\n")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
