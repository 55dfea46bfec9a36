"""How tests start our own programs: measured, where the test run itself measures coverage.

Only the program itself: what it starts runs as it does in production.
"""

import sys
from pathlib import Path

from coverage import Coverage

ROOT = Path(__file__).parents[2]


def manage(*words: str) -> list[str]:
    """The command line of `manage.py WORDS`; run it in ROOT."""
    if Coverage.current() is None:
        return [sys.executable, "manage.py", *words]
    data_file = ROOT / ".coverage"  # pytest-cov combines what begins with this
    measured = ["-m", "coverage", "run", "--parallel-mode", f"--data-file={data_file}"]
    return [sys.executable, *measured, "manage.py", *words]
