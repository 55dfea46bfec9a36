"""/livez, /readyz and /metrics of every role, on a port of its own; and the checks behind them.

`/livez` says that this process works; a supervisor restarts it otherwise. `/readyz` says that the
process can do its job now. A *tolerated* check that fails shows as degraded and does not take the
role out of service, because the exchange accepts orders without Redis and without an engine.
"""

import json
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import psycopg
import redis
import structlog
from django.conf import settings
from django.db import Error, connection
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import REGISTRY

from exchange.infra.redis import redis_client

log = structlog.get_logger()

REQUEST_TIMEOUT_SECONDS: Final = 5

ANSWER_AGE_MAX_S: Final = 0.5
PATHS: Final = ("/metrics", "/livez", "/readyz")

Answer = tuple[int, bytes, str]  # status, body, content type
# Returns a fault in a few words, or None. It may raise errors of drivers.
Check = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Health:
    """The checks of a role. `tolerated` names readiness checks that only degrade the role."""

    role: str
    ready: Mapping[str, Check]
    live: Mapping[str, Check] = field(default_factory=dict)
    tolerated: Collection[str] = ()
    _answers: "dict[str, tuple[float, Answer]]" = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str) -> "Answer":
        """Return status, body and content type for one of the three paths, or 404.

        An answer is used again for ANSWER_AGE_MAX_S, so that frequent requests cost nothing.
        """
        if path not in PATHS:
            return 404, b"{}", "application/json"
        kept = self._answers.get(path)
        if kept is not None and (
            time.monotonic() - kept[0] < ANSWER_AGE_MAX_S or self._lock.locked()
        ):
            return kept[1]
        with self._lock:
            answer = self._answer(path)
            self._answers[path] = time.monotonic(), answer
        return answer

    def _answer(self, path: str) -> "Answer":
        if path == "/metrics":
            return 200, metrics_text(), CONTENT_TYPE_LATEST
        if path == "/livez":
            return self._report(self.live, tolerated=())
        return self._report(self.ready, tolerated=self.tolerated)

    def _report(self, checks: Mapping[str, Check], *, tolerated: Collection[str]) -> "Answer":
        faults = {name: _outcome(check) for name, check in checks.items()}
        broken = [name for name, fault in faults.items() if fault is not None]
        failing = [name for name in broken if name not in tolerated]
        status = "failing" if failing else "degraded" if broken else "ok"
        shown = {name: fault or "ok" for name, fault in faults.items()}
        body = json.dumps({"role": self.role, "status": status, "checks": shown})
        return 503 if failing else 200, body.encode(), "application/json"


def _outcome(check: Check) -> str | None:
    try:
        return check()
    except (Error, psycopg.Error, redis.RedisError, OSError) as error:
        return type(error).__name__  # the message may hold an address or a user name


def metrics_text() -> bytes:
    """Return the metrics of this process, or of all processes that share its folder."""
    if not settings.PROMETHEUS_MULTIPROC_DIR:
        return generate_latest(REGISTRY)
    _dead_forget(Path(settings.PROMETHEUS_MULTIPROC_DIR))
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _dead_forget(folder: Path) -> None:
    """Drop the live gauges of processes that were killed; their counters stay."""
    pids = {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*.db")}
    for pid in pids:
        if pid.isdigit() and not Path("/proc", pid).exists():
            multiprocess.mark_process_dead(int(pid), str(folder))  # type: ignore[no-untyped-call]


def serve(
    role: str,
    port: int,
    checks: Mapping[str, Check],
    *,
    live: Mapping[str, Check] | None = None,
    tolerated: Collection[str] = (),
) -> ThreadingHTTPServer | None:
    """Answer on `port` (0: not at all) from daemon threads; return the server to shut it down.

    Processes that share a folder of metrics share the port too: the kernel gives a request to any
    of them, and each answers for all. Raises OSError when the port is taken.
    """
    if port == 0:
        return None
    health = Health(role, checks, live or {}, tolerated)

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_SECONDS

        def do_GET(self) -> None:  # the name that the base class calls
            status, body, content_type = health.answer(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing, as probes come every second."""

    server = _Server((settings.METRICS_HOST, port), Handler)
    threading.Thread(target=server.serve_forever, name=f"health-{role}", daemon=True).start()
    log.info("health.serving", port=port)
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    allow_reuse_port = bool(settings.PROMETHEUS_MULTIPROC_DIR)


# --- Checks -------------------------------------------------------------------------------------


def database_check() -> str | None:
    """Check that Postgres answers, on a connection of Django's that is closed after it."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()
    return None


def redis_check() -> str | None:
    """Check that Redis answers."""
    redis_client().ping()
    return None


def recency_check(last: Callable[[], float], *, limit_seconds: float, what: str) -> Check:
    """Build a check that `what` happened within the limit; `last` tells when, as time.monotonic.

    The check passes while Redis is down: nothing can happen then, and a restart would not help.
    """

    def check() -> str | None:
        age = time.monotonic() - last()
        if age <= limit_seconds:
            return None
        try:
            redis_client().ping()
        except redis.RedisError:
            return None
        return f"no {what} for {age:.0f} s"

    return check


def standard_checks() -> dict[str, Check]:
    """Return the checks that every role shares."""
    return {"database": database_check, "redis": redis_check}
