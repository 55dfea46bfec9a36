"""Every environment variable, read here and nowhere else: typed, checked, with a hint to fix it.

Precedence: the process environment, then `.env`, then (development only) the file that a running
`manage.py stack` leaves in its data folder, so that `manage.py audit` in a second terminal finds
the same servers. Tests read the process environment alone.
"""

import base64
import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

import environ

from config import env_checks as checks

BASE_DIR: Final = Path(__file__).resolve().parent.parent

Mode = Literal["dev", "test", "prod"]
ROLES: Final = ("web", "ws", "matching", "worker", "beat", "command")
WEB_AREAS: Final = ("all", "api", "pages")  # exchange/web/areas.py
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
PROD_SECRET_LENGTH_MIN: Final = 50

# Names of variables that somebody set on purpose; values from a stack's file are not among them.
given: Final[set[str]] = set()


def _variable(
    default: Any,
    how: str,
    *,
    check: Callable[[Any], None] = checks.no_check,
    needed_in: tuple[Mode, ...] = (),
) -> Any:
    """Declare a variable: its default, how to set it, and where it has no default."""
    return field(metadata={"default": default, "how": how, "check": check, "needed_in": needed_in})


@dataclass(frozen=True, slots=True)
class Environment:
    """All variables. The field name in capitals is the variable's name."""

    secret_key: str = _variable(
        "development-only-not-a-secret",
        "50 random characters or more, e.g. `openssl rand -base64 48`",
        needed_in=("prod",),
    )
    secrets_key: str = _variable(
        base64.urlsafe_b64encode(hashlib.sha256(b"takas development only").digest()).decode(),
        "a Fernet key (32 bytes, URL-safe base64): it encrypts the API secrets at rest; to rotate, "
        "put the new key in front of the old ones, separated by commas",
        check=checks.fernet_keys,
        needed_in=("prod",),
    )
    database_url: str = _variable(
        "postgresql:///takas",
        "postgresql://user:password@host:5432/takas (PostgreSQL 15 or later)",
        check=checks.database_url,
        needed_in=("prod", "test"),
    )
    database_role: str = _variable(
        "",
        "the role that web, ws, matching, worker and beat step down to: takas_app may not change "
        "ledger entries and trades; empty: they keep the role of DATABASE_URL",
        check=checks.role_name,
    )
    redis_url: str = _variable(
        "redis://127.0.0.1:6379/0",
        "redis://host:6379/0 or unix:///path/to/redis.sock (Redis 6.2 or later)",
        check=checks.redis_url,
        needed_in=("prod", "test"),
    )
    redis_streams_url: str = _variable(
        "", "Redis for the command streams and the feed; default REDIS_URL", check=checks.redis_url
    )
    redis_broker_url: str = _variable(
        "", "Redis for Celery's queue; default REDIS_URL", check=checks.redis_url
    )
    redis_cache_url: str = _variable(
        "", "Redis for the cache; default REDIS_URL", check=checks.redis_url
    )
    redis_channels_url: str = _variable(
        "", "Redis for the channel layer; default REDIS_URL", check=checks.redis_url
    )
    role: str = _variable(
        "command",
        "which process this is: web, ws, matching, worker, beat or command",
        check=checks.one_of(*ROLES),
    )
    demo: bool = _variable(False, "on: seed demo users and print their logins; never in production")
    allowed_hosts: list[str] = _variable(
        ["localhost", "127.0.0.1", "[::1]"],
        "host names separated by commas: trade.example.com,api.example.com",
        needed_in=("prod",),
    )
    csrf_trusted_origins: list[str] = _variable(
        [],
        "origins separated by commas: https://trade.example.com",
        check=checks.origins,
        needed_in=("prod",),
    )
    ws_url: str = _variable(
        "",
        "where browsers open the WebSocket: wss://stream.example.com/ws ({host} stands for the "
        "page's own host name); empty: /ws where the page is",
        check=checks.websocket_url,
    )
    trust_proxy: bool = _variable(
        False, "on: a proxy in front sets X-Forwarded-Proto and X-Forwarded-For, and alone may"
    )
    hsts_seconds: int = _variable(
        31_536_000, "HSTS lifetime in seconds (production)", check=checks.between(0, 63_072_000)
    )
    public_weight_per_second: int = _variable(
        50,
        "weight a second of one address that signs nothing (docs/limits.md), in each web process; "
        "0: no limit",
        check=checks.between(0, 1_000_000),
    )
    read_weight_per_second: int = _variable(
        100,
        "weight of reads a second of a user whose tier does not say (docs/limits.md); 0: no limit",
        check=checks.between(0, 1_000_000),
    )
    web_serves: str = _variable(
        "all",
        "what a web process serves: api (/api/v1/), pages (everything else), or all of it",
        check=checks.one_of(*WEB_AREAS),
    )
    web_workers: int = _variable(
        1,
        "processes that serve HTTP, each with threads and database connections of its own; more "
        "than one needs PROMETHEUS_MULTIPROC_DIR",
        check=checks.between(1, 64),
    )
    web_threads: int = _variable(
        64, "requests that a web process works on at once", check=checks.between(1, 512)
    )
    db_pool_max: int = _variable(
        24, "database connections of a web process, at most", check=checks.between(2, 200)
    )
    db_statement_timeout_ms: int = _variable(
        10_000,
        "statement timeout of web, ws and all hot paths, in ms",
        check=checks.between(100, 600_000),
    )
    db_lock_timeout_ms: int = _variable(
        3_000, "lock timeout of web and ws, in ms", check=checks.between(50, 600_000)
    )
    log_level: str = _variable("INFO", "DEBUG to CRITICAL", check=checks.one_of(*LOG_LEVELS))
    log_format: str = _variable(
        "json", "json, or console for reading by eye", check=checks.one_of("json", "console")
    )
    metrics_host: str = _variable("127.0.0.1", "address of a role's /metrics, /livez, /readyz")
    metrics_port: int = _variable(
        0, "port of a role's /metrics, /livez, /readyz; 0: none", check=checks.between(0, 65_535)
    )
    prometheus_multiproc_dir: str = _variable(
        "",
        "worker, and web with several processes: an empty folder, one for each role, where they "
        "leave their metrics",
    )
    data_dir: str = _variable(".data", "folder of `manage.py stack`: databases, logs, pid files")


class EnvironmentInvalid(Exception):
    """Some variables are missing or wrong; the message lists each and how to set it."""


def mode_from_settings_module() -> Mode:
    """Return which rules apply, from the settings module's last name; default dev."""
    name = os.environ.get("DJANGO_SETTINGS_MODULE", "config.settings.dev").rpartition(".")[2]
    return "prod" if name == "prod" else "test" if name == "test" else "dev"


def environment_read(mode: Mode) -> Environment:
    """Read and check all variables, or raise EnvironmentInvalid naming every wrong one."""
    env = environ.Env()
    if mode != "test":
        env.read_env(BASE_DIR / ".env", overwrite=False)
    given.update(os.environ)
    if mode == "dev":
        # Not into os.environ: a stack started from here must not treat them as set on purpose.
        left = pairs_read(stack_env_path(os.environ.get("DATA_DIR", ".data")))
        env.ENVIRON = {**left, **os.environ}
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for item in fields(Environment):
        try:
            values[item.name] = _value(env, item.name.upper(), item.type, item.metadata, mode)
        except (ValueError, TypeError, environ.ImproperlyConfigured) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            wrong.append(f"  {item.name.upper()}: {reason}\n    set it to: {item.metadata['how']}")
    if mode == "prod" and not wrong:
        wrong += _production_faults(values)
    if wrong:
        raise EnvironmentInvalid("\n".join(wrong))
    for name in ("streams", "broker", "cache", "channels"):
        values[f"redis_{name}_url"] = values[f"redis_{name}_url"] or values["redis_url"]
    return Environment(**values)


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with changes, for a process started by it."""
    return {**os.environ, **changes}


def stack_env_path(data_dir: str) -> Path:
    """Return where `manage.py stack` leaves the addresses of its servers."""
    return BASE_DIR / data_dir / "stack.env"


def pairs_read(path: Path) -> dict[str, str]:
    """Return the NAME=value lines of a file that `manage.py stack` wrote; none if there is none."""
    if not path.is_file():
        return {}
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def _value(env: environ.Env, name: str, kind: Any, metadata: Any, mode: Mode) -> Any:
    text = env.ENVIRON.get(name, "")
    if name not in env.ENVIRON or (text == "" and metadata["default"] != ""):
        if mode in metadata["needed_in"]:
            raise ValueError("is missing")
        return metadata["default"]
    if kind is bool:
        return _switch(text)
    reader = {int: env.int, str: env.str, list[str]: env.list}[kind]
    value = reader(name)
    if value != "":
        metadata["check"](value)
    return value


def _switch(text: str) -> bool:
    """Read a switch strictly: a typo must not mean "off"."""
    if text.lower() in ("1", "true", "on", "yes"):
        return True
    if text.lower() in ("0", "false", "off", "no"):
        return False
    raise ValueError("must be on or off")


def _production_faults(values: dict[str, Any]) -> list[str]:
    faults = []
    if len(values["secret_key"]) < PROD_SECRET_LENGTH_MIN:
        faults.append(f"  SECRET_KEY: must have {PROD_SECRET_LENGTH_MIN} characters or more")
    if values["demo"]:
        faults.append("  DEMO: must be off in production: its passwords are public")
    if "*" in values["allowed_hosts"]:
        faults.append("  ALLOWED_HOSTS: must name hosts: a `*` lets anybody forge links")
    return faults


def environment_or_exit(mode: Mode) -> Environment:
    """Return the environment, or end the process with one list of what is wrong."""
    try:
        return environment_read(mode)
    except EnvironmentInvalid as error:
        sys.stderr.write(
            f"Takas cannot start ({mode} settings). Wrong or missing variables:\n{error}\n"
            "See .env.example for all of them; put yours into .env or the environment.\n"
        )
        raise SystemExit(78) from error  # EX_CONFIG


ENV: Final = environment_or_exit(mode_from_settings_module())
