"""`manage.py crash_test`: kill parts of a stack during trading, then prove that nothing is lost.

It never runs on a stack that serves users: it starts its own.
"""

import secrets
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from config.env import BASE_DIR, ENV
from tests.lab.crash.killer import TARGETS
from tests.lab.crash.run import CrashOptions, crash
from tests.lab.stack import LOG_NAME, StackFailed, own_stack, running_stack

SEED_BITS: Final = 31


class Command(BaseCommand):
    help = "Kill web, matching, worker, beat, Redis and Postgres at random while orders come in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--kills", type=int, default=30)
        add("--seed", type=int, help="repeat an earlier run; default: a new one, printed")
        add("--flow", type=Path, help="a recording to play; default: a generated market")
        add("--target", action="append", choices=TARGETS, help="default: all of them")
        add("--inside", type=Path, help="evidence file; run on the stack of DATA_DIR, here")

    def handle(self, **options: Any) -> None:
        seed = secrets.randbits(SEED_BITS) if options["seed"] is None else options["seed"]
        targets = tuple(options["target"] or TARGETS)
        if options["inside"]:
            stack = running_stack(BASE_DIR / ENV.data_dir)
            if stack is None:
                raise CommandError("no stack runs in DATA_DIR")
            given = CrashOptions(
                options["kills"], seed, targets, options["flow"], options["inside"]
            )
            if not crash(stack, given, self._write):
                raise SystemExit(1)
            return
        words = ["crash_test", "--kills", str(options["kills"]), "--seed", str(seed)]
        words += [word for target in targets for word in ("--target", target)]
        words += ["--flow", str(options["flow"].resolve())] if options["flow"] else []
        sys.exit(self._on_own_stack(words, seed))

    def _on_own_stack(self, words: list[str], seed: int) -> int:
        with tempfile.TemporaryDirectory(prefix="takas-evidence-") as folder:
            try:
                with own_stack("--no-demo") as stack:
                    evidence = Path(folder) / "acknowledged"
                    status = stack.manage(*words, "--inside", str(evidence))
                    if status:
                        kept = BASE_DIR / ENV.data_dir / f"crash-{seed}.log"
                        kept.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(stack.data / LOG_NAME, kept)
                        self._write(f"failed; repeat it with --seed {seed}; the log is {kept}")
            except StackFailed as error:
                raise CommandError(str(error)) from error
        return status

    def _write(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
