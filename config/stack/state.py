"""The files of a stack's data folder: its lock, its secrets, and the addresses of its processes.

`stack.lock`  held by the one stack that uses the folder; the kernel lets go of it when that dies
`stack.env`   addresses and secrets, read by later commands and by the next start (config/env.py)
`stack.json`  pids, ports and URLs while it runs, for tools; it outlives only a killed stack
"""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from config.env import pairs_read

FREE_BYTES_MIN: Final = 512 * 1024 * 1024
LEFTOVER_STOP_SECONDS: Final = 10
# Below the ports that the kernel gives to outgoing connections (32768 and above).
PORTS_FROM: Final = 20_000
PORTS_TO: Final = 32_000
PORTS_EACH: Final = 64
POLL_SECONDS: Final = 0.05

_ports_tried = itertools.count()
_ports_held: list[int] = []  # descriptors of their locks


class StackRefused(Exception):
    """The stack cannot start; the message says why and what to do about it."""


def folder_prepare(folder: Path) -> None:
    """Make the data folder. Raises StackRefused if it is not writable or has no room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-test"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise StackRefused(
            f"cannot write to {folder} ({error.strerror}): choose another folder with --data"
        ) from error
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES_MIN:
        raise StackRefused(
            f"only {free // 2**20} MiB are free where {folder} is, "
            f"{FREE_BYTES_MIN // 2**20} MiB are needed: make room, or choose another with --data"
        )


def lock_take(folder: Path) -> int:
    """Take the lock of this folder; return its descriptor, which the caller keeps open."""
    descriptor = os.open(folder / "stack.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        state = state_read(folder)
        raise StackRefused(
            f"a stack runs in {folder} already (pid {state.get('pid', 'unknown')}, "
            f"{state.get('url', 'starting')}): stop it, or choose another folder with --data"
        ) from error
    return descriptor


def port_check(host: str, port: int, option: str) -> None:
    """Raise StackRefused for a port on which this process cannot listen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StackRefused(
                f"cannot listen on {host}:{port} ({error.strerror}): "
                f"stop what uses it, or choose another port with {option}"
            ) from error


def ports_free(count: int) -> list[int]:
    """Return free ports that no other process will be given.

    Every process begins its search at a port of its own and locks its ports until it ends, so that
    processes that start together get different ports. Outgoing connections use other ports. Raises
    StackRefused when there are not so many.
    """
    ports: list[int] = []
    for _ in range(PORTS_TO - PORTS_FROM):
        if len(ports) == count:
            return ports
        port = PORTS_FROM + (os.getpid() * PORTS_EACH + next(_ports_tried)) % (
            PORTS_TO - PORTS_FROM
        )
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            _ports_held.append(_port_hold(port))
            ports.append(port)
    raise StackRefused(f"every port from {PORTS_FROM} to {PORTS_TO} of 127.0.0.1 is taken")


def _port_hold(port: int) -> int:
    """Take the port's lock until this process ends. Raises OSError when another process has it."""
    folder = Path(tempfile.gettempdir()) / f"takas-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


# --- stack.env ----------------------------------------------------------------------------------


def secrets_load(folder: Path) -> dict[str, str]:
    """Return this folder's secrets, which are made at its first start.

    The Fernet key encrypts API secrets in the database, so it must stay with the data.
    """
    kept = pairs_read(folder / "stack.env")
    fernet_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return {
        "SECRET_KEY": kept.get("SECRET_KEY") or secrets.token_urlsafe(48),
        "SECRETS_KEY": kept.get("SECRETS_KEY") or fernet_key,
    }


def stack_env_write(folder: Path, values: dict[str, str]) -> None:
    """Write addresses and secrets for later commands, readable by the owner alone."""
    lines = "".join(f"{name}={value}\n" for name, value in values.items())
    _replace(folder / "stack.env", "# Written by `manage.py stack`.\n" + lines)


# --- stack.json ---------------------------------------------------------------------------------


def state_read(folder: Path) -> dict[str, Any]:
    """Return the contents of this folder's stack.json, or an empty dict."""
    try:
        state = json.loads((folder / "stack.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return state if isinstance(state, dict) else {}


def state_of_ready(folder: Path) -> dict[str, Any]:
    """Return the state of the stack that runs in this folder and is ready, or an empty dict."""
    state = state_read(folder)
    is_ready = state.get("ready") and process_birth(int(state["pid"])) is not None
    return state if is_ready else {}


def state_write(folder: Path, state: dict[str, Any]) -> None:
    """Write stack.json in one step, so that a reader never sees half of it."""
    _replace(folder / "stack.json", json.dumps(state, indent=2) + "\n")


def state_remove(folder: Path) -> None:
    (folder / "stack.json").unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)


# --- What an earlier run left -------------------------------------------------------------------


def process_birth(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot; None if there is no such process.

    A pid alone may by now belong to somebody else; pid and birth together do not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = stat.rpartition(")")[2].split()
    return None if after_name[0] in "ZX" else int(after_name[19])


def leftovers_stop(folder: Path) -> list[str]:
    """End the roles that a killed stack left running; return their names."""
    roles = state_read(folder).get("roles", {})
    left = {
        name: role["pid"]
        for name, role in roles.items()
        if role.get("pid") and process_birth(role["pid"]) == role.get("birth")
    }
    # SIGINT first: a killed Postgres would have to recover.
    for sign in (signal.SIGINT, signal.SIGKILL):
        for pid in left.values():
            group_signal(pid, sign)
        deadline = time.monotonic() + LEFTOVER_STOP_SECONDS
        while time.monotonic() < deadline and any(process_birth(pid) for pid in left.values()):
            time.sleep(POLL_SECONDS)
    state_remove(folder)
    return list(left)


def group_signal(group: int, sign: signal.Signals) -> None:
    """Signal a role's process group, which may be gone already."""
    try:
        os.killpg(group, sign)
    except ProcessLookupError:
        return
