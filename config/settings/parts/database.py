"""Postgres: a pool for `web` (many short requests), one plain connection elsewhere."""

from typing import Any, Final

from psycopg.conninfo import conninfo_to_dict

from config.env import ENV

POOL_MIN: Final = 2
POOL_WAIT_SECONDS: Final = 5
POOL_CONNECTION_LIFE_SECONDS: Final = 1_800
CONNECT_TIMEOUT_SECONDS: Final = 5
IDLE_IN_TRANSACTION_MS: Final = 60_000
# A server behind a black hole (a host that lost its power, a firewall that forgot the connection)
# never answers. These times end the wait: a silent connection is probed after KEEPALIVE_IDLE, and
# sent data must be confirmed within UNCONFIRMED, or the connection is broken. Unix sockets ignore
# them. https://www.postgresql.org/docs/current/libpq-connect.html
KEEPALIVE_IDLE_SECONDS: Final = 10
KEEPALIVE_INTERVAL_SECONDS: Final = 5
KEEPALIVE_PROBES: Final = 3
UNCONFIRMED_MS: Final = 20_000

# Only processes that answer people have a short time limit; a migration or an audit may take long.
ANSWERS_PEOPLE: Final = ENV.role in ("web", "ws")

# For the raw connections of the hot paths (exchange/infra/database.py), in every role.
STATEMENT_TIMEOUT_MS = ENV.db_statement_timeout_ms


def _session_settings() -> str:
    settings: dict[str, int | str] = {
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_MS,
        "timezone": "UTC",
    }
    if ANSWERS_PEOPLE:
        settings["statement_timeout"] = ENV.db_statement_timeout_ms
        settings["lock_timeout"] = ENV.db_lock_timeout_ms
    if ENV.database_role and ENV.role != "command":  # commands migrate as the owner
        settings["role"] = ENV.database_role
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _pool() -> dict[str, Any]:
    return {
        "min_size": POOL_MIN,
        "max_size": ENV.db_pool_max,
        "timeout": POOL_WAIT_SECONDS,
        "max_lifetime": POOL_CONNECTION_LIFE_SECONDS,
    }


def _keepalives() -> dict[str, Any]:
    """Return libpq's keepalive options for each TCP connection, Django's and the raw ones."""
    return {
        "keepalives": 1,
        "keepalives_idle": KEEPALIVE_IDLE_SECONDS,
        "keepalives_interval": KEEPALIVE_INTERVAL_SECONDS,
        "keepalives_count": KEEPALIVE_PROBES,
        "tcp_user_timeout": UNCONFIRMED_MS,
    }


def database() -> dict[str, Any]:
    """Return Django's description of the database that DATABASE_URL names."""
    parts = {key: str(value) for key, value in conninfo_to_dict(ENV.database_url).items()}
    options: dict[str, Any] = {
        "application_name": f"takas-{ENV.role}",
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "options": _session_settings(),
        **_keepalives(),
    }
    description: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", "takas"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        "CONN_MAX_AGE": 0 if ENV.role == "web" else None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**options, **parts},
    }
    if ENV.role == "web":
        description["OPTIONS"]["pool"] = _pool()
    return description


DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
