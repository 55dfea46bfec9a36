"""Probes and metrics: what a supervisor, a balancer and Prometheus are told."""

import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from django.db import connection
from django.test import override_settings

from config.env import child_environment
from config.stack.state import ports_free
from exchange.infra import health, metrics
from exchange.infra.redis import matching_key, redis_client
from exchange.selectors import catalogue_forget
from exchange.web.engines import engines_check
from tests.factories.metrics import metric_value
from tests.waiting import HANG_S, deadline_in


def test_a_role_is_ready_only_when_every_check_that_matters_is() -> None:
    fine = health.Health("web", {"database": lambda: None})
    broken = health.Health("web", {"database": lambda: None, "redis": lambda: "away"})
    degraded = health.Health("web", {"redis": lambda: "away"}, tolerated=("redis",))
    assert fine.answer("/readyz")[0] == 200
    assert broken.answer("/readyz")[0] == 503
    status, body, _ = degraded.answer("/readyz")
    assert status == 200
    assert json.loads(body) == {"role": "web", "status": "degraded", "checks": {"redis": "away"}}


def test_a_driver_that_raises_is_reported_without_its_address() -> None:
    def check() -> None:
        raise ConnectionRefusedError("secret-host:5432")

    status, body, _ = health.Health("web", {"database": check}).answer("/readyz")
    assert status == 503
    assert b"secret-host" not in body
    assert b"ConnectionRefusedError" in body


def test_a_role_is_asked_on_its_own_port() -> None:
    (port,) = ports_free(1)
    server = health.serve("worker", port, {"x": lambda: "broken"}, live={"y": lambda: None})
    assert server is not None
    try:
        with urlopen(f"http://127.0.0.1:{port}/livez", timeout=HANG_S) as response:
            assert json.load(response)["status"] == "ok"
        with pytest.raises(HTTPError) as raised:
            urlopen(f"http://127.0.0.1:{port}/readyz", timeout=HANG_S)
        assert raised.value.code == 503
        raised.value.close()
        metrics.ORDERS_REFUSED.labels("order.price_off_tick").inc()
        with urlopen(f"http://127.0.0.1:{port}/metrics?x=1", timeout=HANG_S) as response:
            text = response.read().decode()
        assert 'takas_orders_refused_total{code="order.price_off_tick"}' in text
        with pytest.raises(HTTPError) as raised:
            urlopen(f"http://127.0.0.1:{port}/other", timeout=HANG_S)
        assert raised.value.code == 404
        raised.value.close()
    finally:
        server.shutdown()
        server.server_close()


def test_port_zero_serves_nothing() -> None:
    assert health.serve("command", 0, {}) is None


@pytest.mark.django_db(transaction=True)
def test_the_real_servers_are_found_well() -> None:
    assert health.database_check() is None
    assert health.redis_check() is None
    assert connection.connection is None, "the probe gives its connection back"


@pytest.mark.django_db(transaction=True)
def test_a_silent_engine_is_noticed() -> None:
    catalogue_forget()
    client = redis_client()
    key = matching_key(1)
    client.delete(key)
    assert engines_check() == "partition 1: no heartbeat"
    now_ms = time.time_ns() // 1_000_000
    client.set(key, json.dumps({"epoch": 1, "sequence": 2, "time_ms": now_ms}), px=5_000)
    assert engines_check() is None
    client.set(key, json.dumps({"epoch": 1, "sequence": 2, "time_ms": now_ms - 60_000}), px=5_000)
    assert (engines_check() or "").startswith("partition 1: silent for")
    client.delete(key)


def test_a_worker_through_which_nothing_passes_is_not_alive() -> None:
    last = [deadline_in(0)]
    check = health.recency_check(lambda: last[0], limit_seconds=30, what="task received")
    assert check() is None
    last[0] -= 100
    assert (check() or "").startswith("no task received for 10")


def test_while_redis_is_away_nothing_can_pass_and_nobody_is_blamed() -> None:
    check = health.recency_check(lambda: deadline_in(-100), limit_seconds=30, what="task")
    with override_settings(STREAMS_URL="unix:///nowhere/redis.sock"):
        assert check() is None


CHILD = """
from exchange.infra.metrics import AUDIT_OK, ORDERS_ACCEPTED
ORDERS_ACCEPTED.labels("BTC-USDT").inc(3)
AUDIT_OK.labels("L1").set(1)
"""


def test_children_of_the_celery_worker_are_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = child_environment({"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
    for _ in range(2):
        subprocess.run([sys.executable, "-c", CHILD], env=environment, check=True, timeout=HANG_S)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    with override_settings(PROMETHEUS_MULTIPROC_DIR=str(tmp_path)):
        text = health.metrics_text().decode()
    assert 'takas_orders_accepted_total{symbol="BTC-USDT"} 6.0' in text
    assert 'takas_audit_ok{invariant="L1"} 1.0' in text


def test_a_stage_is_timed_and_unknown_stages_are_a_bug() -> None:
    before = metric_value(metrics.STAGE_SECONDS.labels("settle"), "_sum")
    with metrics.stage_timed("settle"):
        time.sleep(0.01)
    assert metric_value(metrics.STAGE_SECONDS.labels("settle"), "_sum") >= before + 0.01
    with pytest.raises(AssertionError), metrics.stage_timed("lunch"):
        pass
