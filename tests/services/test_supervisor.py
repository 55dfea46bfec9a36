"""config.stack.supervisor, with small children in place of the exchange's roles."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from config.stack import patience, state, supervisor
from config.stack.patience import Patience
from config.stack.roles import Layout, Role, exchange_roles, http_probe, role_names, traffic_role
from config.stack.servers import child_command, private_folder, socket_folder
from config.stack.supervisor import Supervisor
from tests.waiting import HANG_S

SLEEPER = "import time; print('at work', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('deaf', flush=True); time.sleep(600)"
)


def role(name: str, program: str, **more: Any) -> Role:
    return Role(
        name=name, command=child_command([sys.executable, "-c", program], signal.SIGTERM), **more
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_S):
        while not condition():
            await asyncio.sleep(0.02)


def run(scenario: Callable[[Supervisor], Awaitable[None]]) -> None:
    async def main() -> None:
        boss = Supervisor({"SPOKEN": "hello"})
        try:
            await scenario(boss)
        finally:
            await boss.stop()

    asyncio.run(main())


def pid_of(boss: Supervisor, name: str) -> int:
    return int(boss.describe()[name]["pid"] or 0)


def test_a_role_that_dies_is_started_again() -> None:
    async def scenario(boss: Supervisor) -> None:
        await boss.start(role("web", SLEEPER))
        first = pid_of(boss, "web")
        os.kill(first, signal.SIGKILL)
        await until(lambda: pid_of(boss, "web") not in (0, first))
        assert boss.describe()["web"]["restarts"] == 1

    run(scenario)


def test_a_role_that_does_not_answer_is_killed_and_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "LIVE_POLL_SECONDS", 0.05)
    answers = [True, False, False, False]

    async def is_alive() -> bool:
        return answers.pop(0) if answers else True

    async def scenario(boss: Supervisor) -> None:
        await boss.start(role("worker", SLEEPER, is_alive=is_alive))
        first = pid_of(boss, "worker")
        await until(lambda: pid_of(boss, "worker") not in (0, first))
        assert state.process_birth(first) is None

    run(scenario)


def test_roles_stop_in_reverse_and_the_deaf_are_killed(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario(boss: Supervisor) -> None:
        await boss.start(role("first", SLEEPER))
        await boss.start(role("deaf", STUBBORN, stop_seconds=0.2))
        pids = [pid_of(boss, "first"), pid_of(boss, "deaf")]
        await until(lambda: boss.children[1].lines > 0)
        await boss.stop()
        assert [state.process_birth(pid) for pid in pids] == [None, None]

    run(scenario)
    assert "deaf did not stop in 0.2 s: killed" in capsys.readouterr().out


def test_whatever_a_role_started_ends_with_it() -> None:
    with tempfile.NamedTemporaryFile("r") as noted:
        program = (
            "import subprocess, sys, time\n"
            f"child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}])\n"
            f"open({noted.name!r}, 'w').write(str(child.pid))\n"
            "time.sleep(600)"
        )

        async def scenario(boss: Supervisor) -> None:
            await boss.start(role("web", program, stop_seconds=0.2))
            await until(lambda: bool(Path(noted.name).read_text()))
            grandchild = int(Path(noted.name).read_text())
            assert state.process_birth(grandchild) is not None
            await boss.stop()
            await until(lambda: state.process_birth(grandchild) is None)

        run(scenario)


async def never() -> bool:
    return False


def test_a_role_that_never_gets_ready_is_named() -> None:
    async def scenario(boss: Supervisor) -> None:
        with pytest.raises(state.StackRefused, match=r"matching did not become ready \(it ended\)"):
            await boss.start(role("matching", "raise SystemExit(3)", is_ready=never))

    run(scenario)


def test_a_role_that_does_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(patience, "QUIET_SECONDS", 0.2)

    async def scenario(boss: Supervisor) -> None:
        with pytest.raises(state.StackRefused, match=r"web did not become ready \(nothing moved"):
            await boss.start(role("web", SLEEPER, is_ready=never))

    run(scenario)


def test_a_role_that_only_talks_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(patience, "READY_SECONDS_MAX", 0.5)
    talker = "import time\nwhile True: print('soon', flush=True); time.sleep(0.01)"

    async def scenario(boss: Supervisor) -> None:
        with pytest.raises(state.StackRefused, match=r"web did not become ready \(it had 0.5 s"):
            await boss.start(role("web", talker, is_ready=never))

    run(scenario)


def test_what_a_group_computes_is_counted_with_its_children() -> None:
    program = (
        "import subprocess, sys, time\n"
        "subprocess.run([sys.executable, '-c', 'for _ in range(10**7): pass'])\n"
        "print('done', flush=True); time.sleep(600)"
    )

    async def scenario(boss: Supervisor) -> None:
        await boss.start(role("web", program))
        await until(lambda: boss.children[0].lines > 0)
        assert patience.group_cpu_seconds(pid_of(boss, "web")) > 0.1
        assert patience.group_cpu_seconds(1) == 0.0

    run(scenario)


def test_a_start_that_fails_ends_the_others_and_says_why() -> None:
    """One role ends while two more are waited for: the stop finds nobody else at work on them."""

    async def scenario(boss: Supervisor) -> None:
        others = [role(name, SLEEPER, is_ready=never) for name in ("web", "ws")]
        with pytest.raises(state.StackRefused, match=r"^worker did not become ready \(it ended\)"):
            await boss.start_all([*others, role("worker", "raise SystemExit(3)", is_ready=never)])
        pids = [pid_of(boss, "web"), pid_of(boss, "ws")]
        assert all(pids)
        await boss.stop()
        assert [state.process_birth(pid) for pid in pids] == [None, None]

    run(scenario)


def test_a_stop_while_a_role_is_being_ended_ends_it_once() -> None:
    """The child's last words are waited for by the one, when the other comes."""
    holder = "import time; time.sleep(2)"  # holds the pipe
    program = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {holder!r}], start_new_session=True)\n"
        "print('begun', flush=True); time.sleep(600)"
    )

    async def scenario(boss: Supervisor) -> None:
        await boss.start(role("web", program))
        await until(lambda: boss.children[0].lines > 0)
        process = boss.children[0].process
        assert process is not None
        assert process.stdout is not None
        os.kill(process.pid, signal.SIGKILL)
        await until(lambda: process.returncode is not None)
        ending = asyncio.create_task(boss.end_group(boss.children[0]))
        await asyncio.sleep(0.05)  # until it waits for the last words
        await boss.stop()
        await ending
        await until(process.stdout.at_eof)

    run(scenario)


class Hours:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def __call__(self) -> float:
        return self.time


def test_who_moves_is_waited_for_who_stands_still_is_not() -> None:
    clock = Hours()
    waiting = Patience(quiet_seconds=90, seconds_max=900, now=clock)
    for lines in range(1, 9):  # a line a minute and a half, less a second
        clock.time += 89
        waiting.look(lines, 0.0)
        assert waiting.ended_why() is None
    for number in range(1, 3):  # then no more lines, but work
        clock.time += 89
        waiting.look(8, number * patience.CPU_SECONDS_PER_SIGN)
        assert waiting.ended_why() is None
    clock.time += 9
    assert waiting.ended_why() is None
    clock.time += 1
    assert waiting.ended_why() == "it had 900 s", "moving or not"


def test_answering_that_it_is_not_ready_is_no_progress() -> None:
    clock = Hours()
    waiting = Patience(quiet_seconds=90, seconds_max=900, now=clock)
    for number in range(1, 91):
        clock.time += 1
        waiting.look(0, number * 0.02)
    assert waiting.ended_why() == "nothing moved for 90 s"


def test_a_step_that_fails_is_named_and_its_lines_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def scenario(boss: Supervisor) -> None:
        program = "import os; print(os.environ['SPOKEN']); raise SystemExit(1)"
        with pytest.raises(state.StackRefused, match="failed: its lines above say why"):
            await boss.run("migrate", [sys.executable, "-c", program])
        assert boss.describe() == {}

    run(scenario)
    assert "migrate    | hello" in capsys.readouterr().out


def test_a_recording_is_played_once() -> None:
    async def scenario(boss: Supervisor) -> None:
        await boss.start(role("flow", "pass", once=True))
        await until(lambda: boss.children[0].done)
        assert boss.all_ready
        assert boss.describe()["flow"]["restarts"] == 0

    run(scenario)


def test_asked_twice_everything_ends_at_once() -> None:
    async def scenario(boss: Supervisor) -> None:
        await boss.start(role("deaf", STUBBORN, stop_seconds=10 * HANG_S))
        boss.stopping.set()
        boss.kill()
        async with asyncio.timeout(HANG_S):
            await boss.stop()

    run(scenario)


def test_a_probe_is_true_only_for_the_status_it_expects() -> None:
    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = await reader.readline()
            status = b"200 OK" if b"/livez" in line else b"503 No"
            writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            assert await http_probe("127.0.0.1", port, "/livez")()
            assert not await http_probe("127.0.0.1", port, "/readyz")()
        assert not await http_probe("127.0.0.1", port, "/livez")()

    asyncio.run(main())


def test_every_role_has_its_own_health_port_and_name(tmp_path: Path) -> None:
    ports = {name: 9_000 + n for n, name in enumerate(("matching", "worker", "beat", "web", "ws"))}
    layout = Layout(tmp_path, "::", 8000, 8001, ports)
    roles = exchange_roles(layout)
    assert [one.name for one in roles] == ["matching", "worker", "beat", "web", "ws"]
    assert all(one.environment["ROLE"] == one.name for one in roles)
    assert {one.environment["METRICS_PORT"] for one in roles} == {str(p) for p in ports.values()}
    assert layout.url == "http://127.0.0.1:8000"
    worker = roles[1]
    assert worker.before_start is not None
    worker.before_start()
    assert Path(worker.environment["PROMETHEUS_MULTIPROC_DIR"]).is_dir()
    assert traffic_role("flow", ["replay", "x"], once=True).once


def test_each_partition_of_the_engine_has_a_matching_worker_and_all_start_first(
    tmp_path: Path,
) -> None:
    ports = {name: 9_000 + n for n, name in enumerate(role_names(3))}
    roles = exchange_roles(Layout(tmp_path, "::", 8000, 8001, ports), partitions=3)
    assert [one.name for one in roles[:4]] == ["matching", "matching-2", "matching-3", "worker"]
    assert [one.command[-2:] for one in roles[1:3]] == [["--partition", "2"], ["--partition", "3"]]
    assert {one.environment["ROLE"] for one in roles[:3]} == {"matching"}
    assert len({one.environment["METRICS_PORT"] for one in roles}) == 7


def test_secrets_are_made_once_and_kept_with_the_data(tmp_path: Path) -> None:
    first = state.secrets_load(tmp_path)
    state.stack_env_write(tmp_path, {**first, "DEMO": "on"})
    assert state.secrets_load(tmp_path) == first
    assert (tmp_path / "stack.env").stat().st_mode & 0o077 == 0


def test_what_a_killed_stack_left_is_ended_and_strangers_are_not(tmp_path: Path) -> None:
    async def scenario(boss: Supervisor) -> None:
        await boss.start(role("ours", SLEEPER))
        await boss.start(role("stranger", SLEEPER))
        table = boss.describe()
        table["stranger"]["birth"] = 1  # the pid went to somebody else since
        state.state_write(tmp_path, {"roles": table})
        stranger = pid_of(boss, "stranger")
        ours = pid_of(boss, "ours")
        boss.stopping.set()
        assert await asyncio.to_thread(state.leftovers_stop, tmp_path) == ["ours"]
        assert state.process_birth(stranger) is not None
        assert state.process_birth(ours) is None

    run(scenario)
    assert state.state_read(tmp_path) == {}


def test_one_folder_has_one_stack(tmp_path: Path) -> None:
    descriptor = state.lock_take(tmp_path)
    state.state_write(tmp_path, {"pid": 4711, "url": "http://127.0.0.1:8000"})
    with pytest.raises(state.StackRefused, match="pid 4711, http://127"):
        state.lock_take(tmp_path)
    os.close(descriptor)
    os.close(state.lock_take(tmp_path))


def test_sockets_go_to_a_short_private_folder_when_the_path_is_long(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 90) / "postgres"
    short = socket_folder(deep)
    assert len(str(short)) < 50
    assert private_folder(short).stat().st_mode & 0o777 == 0o700
    short.rmdir()
    near = Path("/srv/d/postgres")
    assert socket_folder(near) == Path("/srv/d/postgres-run")
