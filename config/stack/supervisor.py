"""The supervisor starts roles in order, watches and restarts them, and stops them in reverse.

Everything here runs in one asyncio loop on the main thread: a child's wish to die with its parent
(config/stack/child.py) is bound to the thread that started it.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from config.env import child_environment
from config.stack import patience
from config.stack.patience import Patience, group_cpu_seconds
from config.stack.roles import Role
from config.stack.state import StackRefused, group_signal, process_birth
from exchange.infra.event_loop import tasks_end

READY_POLL_SECONDS: Final = 0.1
LOOK_SECONDS: Final = 1.0  # between two checks that a starting role still moves
STILL_SECONDS: Final = 30.0  # between two lines about a slow start
LIVE_POLL_SECONDS: Final = 5.0
LIVE_FAILURES_MAX: Final = 3
BACK_OFF_FIRST_SECONDS: Final = 0.25
BACK_OFF_MAX_SECONDS: Final = 10.0
STEADY_SECONDS: Final = 30.0  # after this long the back-off begins anew
START_FAILURES_MAX: Final = 3  # before the stack was ever ready; then it gives up
LINE_BYTES_MAX: Final = 256 * 1024
NAME_WIDTH: Final = 11


def say(text: str, name: str = "stack") -> None:
    """Print lines, each behind the name of the role that says it."""
    for line in text.splitlines() or [""]:
        sys.stdout.write(f"{name:<{NAME_WIDTH}}| {line}\n")
    sys.stdout.flush()


@dataclass(slots=True)
class Child:
    """A role and its process, if one runs."""

    role: Role
    process: asyncio.subprocess.Process | None = None
    birth: int | None = None
    restarts: int = 0
    done: bool = False
    ready: bool = False
    lines: int = 0  # printed so far
    given_up: str = ""  # why the wait for it ended
    reader: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Supervisor:
    """Runs roles until it is told to stop. `changed` is called whenever a pid or state changes."""

    environment: dict[str, str]
    changed: Callable[[], None] = lambda: None
    children: list[Child] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _watchers: list[asyncio.Task[None]] = field(default_factory=list)

    async def start_all(self, roles: Sequence[Role]) -> None:
        """Start roles together; when a role does not become ready, the other starts are cancelled.

        Raises StackRefused.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for role in roles:
                    group.create_task(self.start(role))
        except* StackRefused as refused:
            reasons = "; ".join(map(str, refused.exceptions))
        else:
            return
        raise StackRefused(reasons)

    async def start(self, role: Role) -> None:
        """Start a role and wait until it is ready. Raises StackRefused if it never is."""
        child = Child(role)
        self.children.append(child)
        started = time.monotonic()
        for _ in range(START_FAILURES_MAX):
            await self._spawn(child)
            if await self._became_ready(child):
                say(f"{role.name} is ready after {time.monotonic() - started:.1f} s")
                self._watchers.append(asyncio.create_task(self._watch(child)))
                return
            if self.stopping.is_set():
                return
        raise StackRefused(
            f"{role.name} did not become ready ({child.given_up}): its lines above say why "
            f"(command: {' '.join(role.command)})"
        )

    async def run(self, name: str, command: Sequence[str]) -> None:
        """Run a command to its end. Raises StackRefused if it fails."""
        child = Child(Role(name=name, command=list(command)))
        self.children.append(child)
        await self._spawn(child)
        assert child.process is not None
        code = await self._until_over(child, child.process)
        await self._forget(child)
        self.children.remove(child)
        if code != 0 and not self.stopping.is_set():
            raise StackRefused(f"`{' '.join(command[1:])}` failed: its lines above say why")

    async def stop(self) -> None:
        """Stop all roles, the last started first, and wait for each."""
        self.stopping.set()
        await tasks_end(*self._watchers)
        for child in reversed(self.children):
            await self._stop_child(child)

    def kill(self) -> None:
        """End everything at once: for the second Ctrl-C."""
        for child in reversed(self.children):
            if child.process is not None:
                group_signal(child.process.pid, signal.SIGKILL)

    def describe(self) -> dict[str, Any]:
        """Return pids and states by role, for stack.json."""
        return {
            child.role.name: {
                "pid": child.process.pid if child.process is not None else None,
                "birth": child.birth,
                "ready": child.ready,
                "restarts": child.restarts,
                "health_url": child.role.health_url,
            }
            for child in self.children
        }

    @property
    def all_ready(self) -> bool:
        return all(child.ready or child.done for child in self.children)

    # --- one child ------------------------------------------------------------------------------

    async def _spawn(self, child: Child) -> None:
        role = child.role
        if role.before_start is not None:
            role.before_start()
        child.process = await asyncio.create_subprocess_exec(
            *role.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=child_environment({**self.environment, **role.environment}),
            process_group=0,
            limit=LINE_BYTES_MAX,
        )
        child.birth = process_birth(child.process.pid)
        child.reader = asyncio.create_task(self._relay(child, child.process))
        self.changed()

    async def _relay(self, child: Child, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than the limit: the line is dropped
                continue
            if not line:
                return
            child.lines += 1
            say(line.decode(errors="replace").rstrip(), child.role.name)

    async def _until_over(self, child: Child, process: asyncio.subprocess.Process) -> int:
        """Wait for the end of a step without a time limit: a migration must not be cut short."""
        began = time.monotonic()
        while True:
            try:
                return await asyncio.wait_for(process.wait(), STILL_SECONDS)
            except TimeoutError:
                say(f"{child.role.name} is still at work after {time.monotonic() - began:.0f} s")

    async def _became_ready(self, child: Child) -> bool:
        """Wait for a role while it moves (config/stack/patience.py); return whether it is ready."""
        assert child.process is not None
        process = child.process
        waiting = Patience(patience.QUIET_SECONDS, patience.READY_SECONDS_MAX)
        looked = told = 0.0
        while not self.stopping.is_set():
            if process.returncode is not None and not child.role.once:
                child.given_up = "it ended"
                break
            if child.role.is_ready is None or await child.role.is_ready():
                child.ready = True
                self.changed()
                return True
            await asyncio.sleep(READY_POLL_SECONDS)
            waited = waiting.waited_seconds
            if waited < looked + LOOK_SECONDS:
                continue
            looked = waited
            waiting.look(child.lines, group_cpu_seconds(process.pid))
            if (why := waiting.ended_why()) is not None:
                child.given_up = why
                break
            if waited >= told + STILL_SECONDS:
                told = waited
                say(f"{child.role.name} is not ready after {waited:.0f} s, but moves")
        await self.end_group(child)
        return False

    async def _watch(self, child: Child) -> None:
        back_off = BACK_OFF_FIRST_SECONDS
        while True:
            started = time.monotonic()
            assert child.process is not None
            reason = await self._until_dead(child, child.process)
            child.ready = False
            await self.end_group(child)
            if child.role.once:
                child.done = True
                say(f"{child.role.name} has ended ({reason})")
                self.changed()
                return
            if time.monotonic() - started > STEADY_SECONDS:
                back_off = BACK_OFF_FIRST_SECONDS
            say(f"{child.role.name} died ({reason}): starting it again in {back_off:g} s")
            back_off = await self._restart(child, back_off)

    async def _restart(self, child: Child, back_off: float) -> float:
        """Start a dead role again and again until it is ready; return the next pause in seconds.

        A server that the role needs may be down as well: the role comes back when that server does.
        """
        died = time.monotonic()
        while True:
            await asyncio.sleep(back_off)
            back_off = min(back_off * 2, BACK_OFF_MAX_SECONDS)
            child.restarts += 1
            await self._spawn(child)
            if await self._became_ready(child):
                say(f"{child.role.name} is ready again after {time.monotonic() - died:.1f} s")
                return back_off
            if self.stopping.is_set():
                return back_off
            say(f"{child.role.name} did not become ready: trying again in {back_off:g} s")

    async def _until_dead(self, child: Child, process: asyncio.subprocess.Process) -> str:
        """Wait until the process ends or no longer answers as alive; return why, in words."""
        failures = 0
        while True:
            try:
                code = await asyncio.wait_for(process.wait(), LIVE_POLL_SECONDS)
            except TimeoutError:
                if child.role.is_alive is None or await child.role.is_alive():
                    failures = 0
                    continue
                failures += 1
                if failures >= LIVE_FAILURES_MAX:
                    return f"/livez failed {failures} times"
            else:
                return f"by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    async def _stop_child(self, child: Child) -> None:
        process = child.process
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(child.role.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), child.role.stop_seconds)
            except TimeoutError:
                say(f"{child.role.name} did not stop in {child.role.stop_seconds:g} s: killed")
        await self.end_group(child)

    async def end_group(self, child: Child) -> None:
        """End a role's whole process group, whatever the role started itself."""
        if child.process is not None:
            group_signal(child.process.pid, signal.SIGKILL)
            await child.process.wait()
        await self._forget(child)

    async def _forget(self, child: Child) -> None:
        # Taken before the first await: a second caller finds nothing left to end.
        reader, child.reader = child.reader, None
        child.process, child.birth, child.ready = None, None, False
        if reader is not None:
            # A grandchild outside the group may hold the pipe: the wait for its output is bounded.
            await asyncio.wait([reader], timeout=1)
            reader.cancel()
        self.changed()
