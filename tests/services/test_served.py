"""Partitions without an engine: they take no order, and every monitor says so."""

import time
from collections.abc import Iterator
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection as django_connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra import metrics
from exchange.infra.copies import Copy
from exchange.infra.database import connect
from exchange.infra.redis import matching_key, redis_client
from exchange.models import Symbol
from exchange.selectors import catalogue_forget, symbol_known
from exchange.web.engines import engines_check
from matching.worker.ports import SILENCE_MAX_S
from orders import tasks
from orders.markets.rules import symbol_rules_send
from orders.models import ClientOrderId, EnginePartition, Order, SettlementCursor
from orders.recovery import availability
from orders.recovery.availability import (
    READ_EVERY_S,
    RETRY_AFTER_S,
    served_check,
    served_forget,
    unsequenced_ages,
)
from orders.recovery.lease import lease_acquire
from orders.settlement.task import connection_close
from risk.audit.run import audit_run
from tests.factories.metrics import metric_value
from tests.factories.models import SymbolFactory
from tests.factories.trading import Trader, decoded, process_begin, process_end, trader_make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def db() -> Iterator[psycopg.Connection[Any]]:
    with connect("test-served", index_plans=False) as opened:
        yield opened
    connection_close()


@pytest.fixture
def ada() -> Iterator[Trader]:
    process_begin()
    SymbolFactory.create(code="BTC-USDT")
    yield trader_make("ada")
    process_end()


def silent_for(seconds: float, partition_id: int = 1) -> None:
    with django_connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orders_enginepartition SET lease_until = NULL,"
            " updated_at = clock_timestamp() - make_interval(secs => %s) WHERE id = %s",
            (seconds, partition_id),
        )
    served_forget()


def move_to(partition_id: int) -> None:
    """Put the symbol on another partition, as whoever writes to the table could."""
    Symbol.objects.update(state="halt")
    Symbol.objects.update(partition_id=partition_id)
    Symbol.objects.update(state="open")
    catalogue_forget()
    served_forget()


def assert_refused(response: HttpResponse) -> None:
    assert (response.status_code, decoded(response)["code"]) == (503, "engine.not_serving")
    assert response.headers["Retry-After"] == str(RETRY_AFTER_S)


def test_an_order_for_a_partition_without_an_engine_is_refused_and_reserves_nothing(
    ada: Trader,
) -> None:
    move_to(2)
    had = ada.balance("USDT")
    assert_refused(ada.place())
    legs = [
        {"side": "sell", "type": "limit", "price": "120", "quantity": "1"},
        {"side": "sell", "type": "stop_market", "stop_price": "90", "quantity": "1"},
    ]
    named = [{"client_order_id": f"leg-{at}", **one} for at, one in enumerate(legs)]
    body = {"type": "oco", "symbol": "BTC-USDT", "orders": named}
    assert_refused(ada.send("POST", "/order-lists", body))
    assert not Order.objects.exists()
    assert not ClientOrderId.objects.exists()
    assert ada.balance("USDT") == had


def test_a_worker_that_restarts_costs_nobody_an_order(ada: Trader) -> None:
    silent_for(SILENCE_MAX_S - 10)
    assert ada.place().status_code == 201


def test_after_a_long_silence_cancels_are_taken_and_nothing_that_reserves_funds(
    ada: Trader,
) -> None:
    order_id = decoded(ada.place())["id"]
    Order.objects.filter(pk=order_id).update(engine_seq=1, priority_seq=1, status="open")
    silent_for(SILENCE_MAX_S + 1)
    assert_refused(ada.place())
    assert_refused(ada.amend(order_id, price="99"))
    assert ada.cancel(order_id).status_code == 202
    assert ada.send("DELETE", "/orders?symbol=BTC-USDT").status_code == 202
    silent_for(0)
    assert ada.place().status_code == 201, "as soon as an engine is back"


def test_what_was_accepted_is_answered_again_while_nobody_serves(ada: Trader) -> None:
    body = {
        "symbol": "BTC-USDT", "side": "buy", "type": "limit", "price": "100", "quantity": "1",
        "client_order_id": "mine",
    }  # fmt: skip
    assert ada.send("POST", "/orders", body).status_code == 201
    silent_for(SILENCE_MAX_S + 1)
    assert ada.send("POST", "/orders", body).status_code == 200


def test_an_order_pays_no_round_trip_for_the_answer(
    ada: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(
        "orders.recovery.availability.silences_copy",
        Copy(availability.silences_read, age_max_s=READ_EVERY_S, now_s=lambda: now[0]),
    )
    rules = symbol_known("BTC-USDT")
    served_forget()
    with CaptureQueriesContext(django_connection) as queries:
        for _ in range(500):
            served_check(rules)
        assert len(queries) == 1
        now[0] += READ_EVERY_S
        served_check(rules)
        assert len(queries) == 2
        now[0] += SILENCE_MAX_S / 2  # a reading that cannot be made anew grows old
        monkeypatch.setattr(availability.silences_copy, "age_max_s", 1e9)
        served_check(rules)
        now[0] += SILENCE_MAX_S
        with pytest.raises(DomainError) as refused:
            served_check(rules)
        assert refused.value.code is Code.ENGINE_NOT_SERVING


def test_the_age_of_what_waits_is_told_of_every_partition(
    ada: Trader, db: psycopg.Connection[Any]
) -> None:
    ada.place()
    Symbol.objects.create(
        **{
            **Symbol.objects.values().get(),
            "id": None, "code": "ETH-USDT", "partition_id": 3,
        }
    )  # fmt: skip
    Symbol.objects.filter(code="BTC-USDT").update(state="halt")
    db.execute("DELETE FROM wallets_reservation")  # or the guard would not let it go
    move_to_two = "UPDATE exchange_symbol SET partition_id = 2 WHERE code = 'BTC-USDT'"
    db.execute(move_to_two)
    ages = unsequenced_ages(db, time.time_ns() // 1_000_000 + 20_000)
    assert ages.keys() == {1, 2, 3}
    assert (ages[1], ages[3]) == (0, 0)
    assert 20 <= ages[2] < 80
    tasks.settle_all()
    assert metric_value(metrics.UNSEQUENCED_AGE_SECONDS.labels(2)) > 0
    assert metric_value(metrics.UNSEQUENCED_AGE_SECONDS.labels(1)) == 0


def test_the_audit_is_not_green_while_orders_wait_for_nobody(
    ada: Trader, db: psycopg.Connection[Any]
) -> None:
    ada.place()
    assert audit_run(db).of("O1") == [], "an engine was there a moment ago"
    silent_for(SILENCE_MAX_S + 1)
    report = audit_run(db)
    [breach] = report.of("O1")
    assert breach.detail == "partition 1: orders wait, and no engine serves it"
    assert report.symbols_affected() == [], "to halt what stands still helps nobody"
    EnginePartition.objects.filter(pk=1).delete()
    assert len(audit_run(db).of("O1")) == 1, "one that never was is no better"
    with pytest.raises(SystemExit):
        call_command("audit", stdout=StringIO(), stderr=StringIO())


def test_readiness_tells_of_every_partition_that_has_symbols(ada: Trader) -> None:
    SymbolFactory.create(code="ETH-USDT", partition_id=2)
    catalogue_forget()
    beat = b'{"epoch": 1, "sequence": 2, "time_ms": %d}' % (time.time_ns() // 1_000_000)
    redis_client().set(matching_key(1), beat, px=60_000)
    assert engines_check() == "partition 2: no heartbeat"
    redis_client().set(matching_key(2), beat, px=60_000)
    assert engines_check() is None


def test_the_engine_of_another_partition_is_told_the_rules_anew(ada: Trader) -> None:
    Symbol.objects.update(band_ppm=50_000)
    symbol_id = Symbol.objects.get().pk
    told = symbol_rules_send(symbol_id)
    assert told
    assert symbol_rules_send(symbol_id) == []
    move_to(2)
    assert symbol_rules_send(symbol_id) == told


def test_with_a_partition_comes_its_settlement_cursor(db: psycopg.Connection[Any]) -> None:
    assert lease_acquire(db, partition_id=2, owner="a") is not None
    assert SettlementCursor.objects.get(partition_id=2).last_seq == 0
