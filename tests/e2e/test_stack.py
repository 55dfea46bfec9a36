"""`manage.py stack` as an operator uses it: real processes and signals, its own data folder."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.env import Environment
from config.stack.servers import child_command
from config.stack.state import ports_free, process_birth, state_read
from tests.e2e.covered import ROOT, manage
from tests.waiting import HANG_S, START_S, wait_until

# Enough to see the supervisor at work; `make crash` kills the others too.
ONLY_WEB = [f"--without={role}" for role in ("matching", "worker", "beat", "ws")]

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="takas-e2e-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def clean_environment() -> dict[str, str]:
    """Ours without what the tests set for themselves: the stack is to start its own servers."""
    names = {name.upper() for name in Environment.__dataclass_fields__}
    kept = {key: value for key, value in os.environ.items() if key not in names}
    return {**kept, "DJANGO_SETTINGS_MODULE": "config.settings.dev"}


def stack_start(data: Path, *words: str) -> subprocess.Popen[str]:
    port, ws_port = ports_free(2)
    command = manage("stack", "--data", str(data), "--headless")
    command += ["--no-demo", "--port", str(port), "--ws-port", str(ws_port), *words]
    with (data / "test.log").open("a") as log:
        return subprocess.Popen(
            child_command(command, signal.SIGTERM),
            cwd=ROOT,
            env=clean_environment(),
            stdout=log,
            stderr=log,
            text=True,
        )


def stack_try(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        manage("stack", "--data", str(data), "--headless", *words),
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


def log_of(data: Path) -> Callable[[], str]:
    """What the stack said last, for when something never comes true."""
    return lambda: (data / "test.log").read_text()[-3_000:]


def wait_ready(data: Path, stack: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait until this very stack is ready: an earlier one may have left its stack.json."""

    def ready() -> bool:
        assert stack.poll() is None, log_of(data)()
        state = state_read(data)
        return state.get("pid") == stack.pid and bool(state["ready"])

    wait_until(ready, log_of(data), seconds=START_S)
    return state_read(data)


def processes_in(data: Path) -> list[str]:
    """Command lines of all processes that speak of this data folder or inherited it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if str(data).encode() in text:
            found.append(text.split(b"\0\0")[0].replace(b"\0", b" ").decode()[:200])
    return found


def role_pid(data: Path, name: str) -> int:
    return int(state_read(data)["roles"][name]["pid"] or 0)


def wait_started_again(data: Path, name: str, killed: int) -> None:
    def ready_anew() -> bool:
        return role_pid(data, name) not in (0, killed) and state_read(data)["roles"][name]["ready"]

    wait_until(ready_anew, log_of(data), seconds=START_S)


def test_the_stack_survives_kills_leaves_nothing_and_continues(data: Path) -> None:
    stack = stack_start(data, *ONLY_WEB)
    try:
        state = wait_ready(data, stack)
        with psycopg.connect(state["database_url"], autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (note text)")
            connection.execute("INSERT INTO kept VALUES ('from the first run')")

        # What dies is started again: a role, and a server that the role needs.
        for name in ("web", "postgres", "redis"):
            killed = role_pid(data, name)
            os.kill(killed, signal.SIGKILL)
            wait_started_again(data, name, killed)

        # The supervisor itself is killed: its children notice.
        stack.kill()
        stack.wait(HANG_S)
        wait_until(lambda: not processes_in(data), log_of(data))
        assert state_read(data)["ready"], "stack.json is what the next start goes by"

        # A second start continues with the same data, and a stop leaves nothing behind.
        stack = stack_start(data, *ONLY_WEB)
        state = wait_ready(data, stack)
        with psycopg.connect(state["database_url"]) as connection:
            row = connection.execute("SELECT note FROM kept").fetchone()
        assert row == ("from the first run",)

        second = stack_try(data, *ONLY_WEB)
        assert second.returncode == 1
        assert "a stack runs in" in second.stderr
        assert f"pid {stack.pid}" in second.stderr

        stack.send_signal(signal.SIGTERM)
        assert stack.wait(HANG_S) == 0
        assert processes_in(data) == []
        assert not (data / "stack.json").exists()
    finally:
        if stack.poll() is None:
            stack.terminate()
            stack.wait(HANG_S)


def test_a_bounded_run_ends_by_itself(data: Path) -> None:
    result = stack_try(data, "--for=1", "--no-demo", *ONLY_WEB, "--without=web")
    assert result.returncode == 0, result.stderr
    assert "the time asked for is over" in result.stdout
    assert processes_in(data) == []


def test_a_taken_port_is_named_before_anything_starts(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = stack_try(data, f"--port={port}")
    assert result.returncode == 1
    assert f"127.0.0.1:{port} (Address already in use)" in result.stderr
    assert "--port" in result.stderr
    assert not (data / "postgres").exists()


def test_an_unwritable_folder_is_named(data: Path) -> None:
    (data / "file").touch()
    result = stack_try(data / "file" / "below")
    assert result.returncode == 1
    assert "cannot write to" in result.stderr
    assert "--data" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_disk_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from config.stack import state

    monkeypatch.setattr(state, "FREE_BYTES_MIN", 2**62)
    with pytest.raises(state.StackRefused, match="MiB are needed: make room"):
        state.folder_prepare(data)


def test_a_process_is_told_by_pid_and_birth() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        birth = process_birth(process.pid)
        assert birth is not None
        assert birth == process_birth(process.pid)
        process.kill()
        process.wait()
        assert process_birth(process.pid) is None
