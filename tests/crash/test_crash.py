"""Crash safety with real processes and signals: nothing that was acknowledged is lost.

`make crash KILLS=300 SEED=7` runs it for longer, or again.
"""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS_PER_KILL = 60  # only guards against hanging, as the next one does
SECONDS_AROUND = 1_200
# The servers and settings of the test session are not those of the stack that is crashed.
NOT_INHERITED = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "DATA_DIR")


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.timeout(0)
def test_no_crash_loses_an_acknowledged_order_or_a_trade() -> None:
    kills = int(os.environ.get("KILLS", "30"))
    seed = int(os.environ.get("SEED", str(secrets.randbits(31))))
    environment = {name: text for name, text in os.environ.items() if name not in NOT_INHERITED}
    finished = subprocess.run(
        [
            sys.executable,
            str(ROOT / "manage.py"),
            "crash_test",
            "--kills",
            str(kills),
            "--seed",
            str(seed),
        ],
        cwd=ROOT,
        env=environment,
        timeout=SECONDS_AROUND + kills * SECONDS_PER_KILL,
        check=False,
    )
    assert finished.returncode == 0, f"seed {seed}"
