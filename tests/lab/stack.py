"""A stack of one's own in a temporary folder: for tools that find none running, and for tests.

The stack is a child process (`manage.py stack`), so that tools measure or kill the processes that
an operator runs. It ends with this process, whatever ends this process.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from config.env import BASE_DIR
from config.stack.servers import child_command
from config.stack.state import (
    ports_free,
    secrets_load,
    stack_env_write,
    state_of_ready,
    state_read,
)

# Only for a stack that hangs: a stack whose roles do not move gives up (config/stack/patience.py).
READY_SECONDS_MAX: Final = 1_800.0
STOP_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1
LOG_NAME: Final = "stack.log"
LOG_TAIL_BYTES: Final = 4_000


class StackFailed(Exception):
    """The stack did not come up; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A stack that is ready, and how to reach it."""

    data: Path
    url: str
    ws_url: str

    def state(self) -> dict[str, Any]:
        """Return the stack's present state: pids and states by role."""
        return state_read(self.data)

    def environment(self) -> dict[str, str]:
        """Return the environment of commands that belong to this stack."""
        return {**os.environ, "DATA_DIR": str(self.data)}

    def manage(self, *words: str) -> int:
        """Run a management command on this stack with our output; return its exit status."""
        command = [sys.executable, str(BASE_DIR / "manage.py"), *words]
        return subprocess.run(  # our own manage.py
            child_command(command, signal.SIGTERM), env=self.environment(), check=False
        ).returncode


def running_stack(data: Path) -> RunningStack | None:
    """Return the stack that runs in this folder and is ready, or None."""
    state = state_of_ready(data)
    if not state:
        return None
    return RunningStack(data, str(state["url"]), str(state["ws_url"]))


@contextmanager
def own_stack(*words: str, data: Path | None = None) -> Iterator[RunningStack]:
    """Start a stack with these options, yield it when it is ready, stop it at the end.

    Without `data` its folder is temporary and removed with it. Raises StackFailed.
    """
    folder = data or Path(tempfile.mkdtemp(prefix="takas-"))
    # Postgres may run as another user than ours and has to pass through.
    folder.chmod(0o711)
    # SIGTERM must run the `finally` below, as Ctrl-C does.
    before = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    process = _started(folder, words)
    try:
        yield _when_ready(folder, process)
    finally:
        signal.signal(signal.SIGTERM, before)
        _stop(process)
        if data is None:
            shutil.rmtree(folder, ignore_errors=True)


def log_tail(folder: Path) -> str:
    """Return the end of a stack's log."""
    content = (folder / LOG_NAME).read_bytes()
    return content[-LOG_TAIL_BYTES:].decode(errors="replace")


def _started(folder: Path, words: Sequence[str]) -> "subprocess.Popen[bytes]":
    port, ws_port = ports_free(2)
    # One set of secrets for the stack and for the commands that we run beside it.
    stack_env_write(folder, secrets_load(folder))
    command = [sys.executable, str(BASE_DIR / "manage.py"), "stack", "--headless"]
    command += ["--data", str(folder), "--port", str(port), "--ws-port", str(ws_port), *words]
    with (folder / LOG_NAME).open("ab") as log:
        return subprocess.Popen(  # our own manage.py
            child_command(command, signal.SIGTERM),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "DATA_DIR": str(folder)},
        )


def _when_ready(folder: Path, process: "subprocess.Popen[bytes]") -> RunningStack:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        stack = running_stack(folder)
        if stack is not None:
            return stack
        time.sleep(POLL_SECONDS)
    raise StackFailed(f"the stack did not become ready:\n{log_tail(folder)}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
