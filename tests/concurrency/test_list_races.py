"""Races of lists: one wins wholly, and nothing is reserved or spent twice (L4, L5, L7)."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import Sum
from django.http import HttpResponse

from exchange.domain.ids import IdGenerator
from exchange.infra.database import connect
from exchange.models import Symbol
from orders.intake import jobs as intake_jobs
from orders.intake import thread
from orders.intake.process import intake, intake_stop
from orders.models import ClientOrderId, Order, OrderList
from orders.models import Command as CommandRow
from tests.factories.trading import Trader, decoded, encode, fast_tier, trader_make
from tests.waiting import HANG_S, wait_until
from wallets.models import Balance, Reservation

PARALLEL = 24

Body = dict[str, Any]
TAKE: Body = {"side": "sell", "type": "limit", "price": "120", "quantity": "1"}
STOP: Body = {"side": "sell", "type": "stop_market", "stop_price": "90", "quantity": "1"}


def pair(*names: str) -> Body:
    orders = [{**one, "client_order_id": n} for one, n in zip((TAKE, STOP), names, strict=True)]
    return {"type": "oco", "symbol": "BTC-USDT", "orders": orders}


def all_at_once(act: Callable[[int], HttpResponse], count: int) -> list[tuple[int, Body]]:
    def one(number: int) -> tuple[int, Body]:
        try:
            response = act(number)
            return response.status_code, decoded(response)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def post(trader: Trader, body: Body, number: int) -> HttpResponse:
    # Padding makes each signature its own: one twice would be a replay, not a repetition.
    return trader.send("POST", "/order-lists", encode(body) + b" " * number)


def assert_reserved_is_explained() -> None:
    for balance in Balance.objects.filter(may_be_negative=False):
        held = Reservation.objects.filter(
            account_id=balance.account_id, asset_id=balance.asset_id
        ).aggregate(total=Sum("amount"))["total"]
        assert balance.reserved == (held or 0)
        assert balance.available >= 0


def test_one_request_many_times_at_once_is_one_list(ada: Trader) -> None:
    answers = all_at_once(lambda number: post(ada, pair("a", "b"), number), PARALLEL)
    assert Counter(status for status, _ in answers) == {201: 1, 200: PARALLEL - 1}
    assert len({body["id"] for _, body in answers}) == 1
    assert (OrderList.objects.count(), Order.objects.count()) == (1, 2)
    assert ada.balance("BTC") == (Decimal(99), Decimal(1))


def test_lists_that_overlap_in_a_client_id_are_never_both_accepted(ada: Trader) -> None:
    """a-b, b-c and c-a: whichever is first excludes the other two."""
    bodies = [pair("a", "b"), pair("b", "c"), pair("c", "a")]
    answers = all_at_once(lambda number: post(ada, bodies[number % 3], number), PARALLEL)
    accepted = {body["id"] for status, body in answers if status in (200, 201)}
    codes = {body["code"] for status, body in answers if status not in (200, 201)}
    assert len(accepted) == 1
    assert codes <= {"order.client_id_conflict", "engine.busy"}
    assert (OrderList.objects.count(), Order.objects.count()) == (1, 2)
    assert ClientOrderId.objects.count() == 2, "refused lists leave their client ids free"
    assert ada.balance("BTC") == (Decimal(99), Decimal(1))


def test_lists_and_orders_on_one_balance_spend_it_once(symbol: Symbol) -> None:
    """Ten fit, orders or lists: a list of two reserves as much as one order."""
    poor = trader_make("poor", funds={"BTC": 10}, tier=fast_tier())

    def act(number: int) -> HttpResponse:
        if number % 2:
            return poor.place(**{**TAKE, "client_order_id": f"single-{number}"})
        return post(poor, pair(f"a{number}", f"b{number}"), number)

    answers = all_at_once(act, PARALLEL)
    outcomes = Counter("accepted" if status == 201 else body["code"] for status, body in answers)
    assert outcomes == {"accepted": 10, "funds.insufficient": PARALLEL - 10}
    assert poor.balance("BTC") == (Decimal(0), Decimal(10))
    lists = OrderList.objects.count()
    assert Order.objects.count() == ClientOrderId.objects.count() == 10 + lists
    assert_reserved_is_explained()


def test_amends_of_both_orders_of_a_pair_at_once_are_one(ada: Trader) -> None:
    answer = decoded(ada.send("POST", "/order-lists", pair("a", "b")))
    ids = [order["id"] for order in answer["orders"]]
    sizes = [str(2 + number) for number in range(PARALLEL)]
    answers = all_at_once(
        lambda number: ada.amend(ids[number % 2], quantity=sizes[number]), PARALLEL
    )
    outcomes = Counter(body.get("code", "accepted") for _, body in answers)
    assert outcomes == {"accepted": 1, "order.amend_pending": PARALLEL - 1}
    [won] = [number for number, (status, _) in enumerate(answers) if status == 202]
    assert ada.balance("BTC")[1] == Decimal(sizes[won])
    assert_reserved_is_explained()


def test_lists_of_two_processes_under_the_same_ids_are_one(symbol: Symbol, ada: Trader) -> None:
    """Two intakes, each claiming in its own transaction: the claims decide, in one order."""
    from orders.intake.thread import Intake
    from tests.factories.market import MemoryPublisher, market_make
    from tests.services.test_intake_lists import OCO, PAIR, list_job

    nodes = [IdGenerator(node, lambda: time.time_ns() // 1_000_000) for node in (1, 2)]
    market = market_make(ids=nodes[0], accounts=1, funds=Decimal(1))
    intakes = [
        Intake(
            open_connection=lambda: connect("test-intake"),
            publisher=MemoryPublisher(),
            next_id=one.next_id,
        )
        for one in nodes
    ]
    jobs = [
        list_job(market, OCO, PAIR, names=[f"a{number // 4}", f"b{number // 4}"])
        for number in range(64)
    ]

    def run(number: int) -> tuple[int, bool]:
        accepted = intakes[number % 2].submit_list(jobs[number])
        return accepted.list_id, accepted.is_replay

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(run, range(64)))
    for one in intakes:
        one.stop()
    for group in range(16):
        answers = outcomes[group * 4 : group * 4 + 4]
        assert len({list_id for list_id, _ in answers}) == 1
        assert sum(not is_replay for _, is_replay in answers) == 1
    assert OrderList.objects.filter(account_id=market.account_ids[0]).count() == 16
    assert_reserved_is_explained()


def test_an_order_that_ends_while_its_list_is_cancelled_is_no_refusal(
    ada: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intake is held up, so that the order ends between the look at it and its cancel."""
    monkeypatch.setattr(thread, "LOCK_WAIT_MS", int(HANG_S) * 1_000)
    for module, name in ((thread, "DEADLINE_S"), (thread, "STOP_S"), (intake_jobs, "ANSWER_S")):
        monkeypatch.setattr(module, name, HANG_S)
    intake_stop()  # the next one goes by these
    answer = decoded(ada.send("POST", "/order-lists", pair("a", "b")))
    first, second = (order["id"] for order in answer["orders"])
    before = CommandRow.objects.count()
    with ThreadPoolExecutor(2) as pool:
        with connect("test-locker") as locker, locker.transaction(force_rollback=True):
            locker.execute(
                "INSERT INTO orders_clientorderid"
                " (account_id, client_order_id, order_id, fingerprint) VALUES (%s, 'stuck', 1, '')",
                (ada.account_id,),
            )
            stuck = pool.submit(_and_close, lambda: ada.place(client_order_id="stuck"))
            wait_until(_somebody_waits_for_a_lock, "the intake is held up")
            path = f"/order-lists/{answer['id']}"
            cancel = pool.submit(_and_close, lambda: ada.send("DELETE", path))
            wait_until(lambda: intake().waiting, "the cancel stands behind it")
            Order.objects.filter(pk=first).update(engine_seq=1, priority_seq=1, status="cancelled")
        assert (stuck.result(HANG_S), cancel.result(HANG_S)) == (201, 202)
    sent = CommandRow.objects.order_by("id").values_list("order_id", flat=True)
    assert list(sent[before:]) == [int(second)]


def _somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        row = cursor.fetchone()
    assert row is not None
    return bool(row[0])


def _and_close(act: Callable[[], HttpResponse]) -> int:
    try:
        return act().status_code
    finally:
        connections.close_all()
