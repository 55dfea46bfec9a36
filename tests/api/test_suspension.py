"""Suspension: every order of the user ends, no new one slips through, reads and cancels work."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth.models import Permission
from django.db import connections
from django.test import Client
from django.urls import reverse

from exchange.access.principals import principals_forget
from exchange.domain.codes import Code
from exchange.domain.enums import ListKind, Side
from exchange.domain.errors import DomainError
from exchange.domain.ids import IdGenerator
from exchange.infra.database import connect
from exchange.models import Symbol, User
from exchange.selectors import symbol_rules
from orders.intake.batch import commit_batch
from orders.intake.jobs import Accepted, ListJob
from orders.markets import suspensions
from orders.markets.suspensions import (
    barred_orders_cancel,
    user_deactivate,
    user_reactivate,
    user_suspend,
    user_unsuspend,
)
from orders.models import Command, Order
from orders.settlement.batch import settle_batch
from orders.tasks import barred_orders_cancel_now
from risk.audit.run import audit_run
from tests.factories.market import Market
from tests.factories.trading import Trader, decoded
from tests.factories.worker import Surroundings, WorkerProcess
from tests.waiting import HANG_S, wait_until
from wallets.models import Reservation
from wallets.services import user_create

pytestmark = pytest.mark.django_db(transaction=True)

LIVE = ("new", "waiting", "open", "partially_filled")


@pytest.fixture
def market(symbol: Symbol, ada: Trader, boris: Trader) -> Market:
    """The symbol as the tests of the engine see it; accounts 0 and 1 are Ada's and Boris'."""
    return Market(
        partition_id=1,
        rules=symbol_rules(symbol),
        account_ids=[ada.account_id, boris.account_id],
        base_id=symbol.base_id,
        quote_id=symbol.quote_id,
        ids=IdGenerator(7, lambda: time.time_ns() // 1_000_000),
    )


@pytest.fixture
def worker(market: Market) -> Iterator[WorkerProcess]:
    around = Surroundings(market)
    yield around.start()
    around.close()


@pytest.fixture
def db() -> Iterator[psycopg.Connection]:
    with connect("test") as connection:
        yield connection


def engine_runs(worker: WorkerProcess, db: psycopg.Connection) -> None:
    """The engine takes what is waiting, and settlement books it."""
    worker.drain()
    while settle_batch(db, 1) is not None:
        pass


def until(condition: Callable[[], object]) -> None:
    wait_until(condition, pause=0.001)


def live_orders(trader: Trader) -> int:
    return Order.objects.filter(account_id=trader.account_id, status__in=LIVE).count()


def placed(trader: Trader, **changes: Any) -> str:
    response = trader.place(**changes)
    assert response.status_code == 201, response.content
    return str(decoded(response)["id"])


def oco_placed(trader: Trader) -> None:
    legs = [
        {"type": "limit", "price": "120", "client_order_id": "leg-1"},
        {"type": "stop_market", "stop_price": "80", "client_order_id": "leg-2"},
    ]
    body = {
        "type": "oco",
        "symbol": "BTC-USDT",
        "orders": [{"side": "sell", "quantity": "1", **leg} for leg in legs],
    }
    response = trader.send("POST", "/order-lists", body)
    assert response.status_code == 201, response.content


def test_a_suspension_ends_open_and_waiting_orders_and_lists(
    ada: Trader, boris: Trader, worker: WorkerProcess, db: psycopg.Connection
) -> None:
    placed(ada)
    placed(ada, side="buy", type="stop_limit", stop_price="150", price="151")
    oco_placed(ada)
    other = placed(boris, price="99")
    engine_runs(worker, db)
    assert live_orders(ada) == 4
    sent = user_suspend(user_id=ada.user.pk, actor_id=None, reason="odd")
    assert sent == 1, "one command a symbol"
    engine_runs(worker, db)
    assert live_orders(ada) == 0
    assert not Reservation.objects.filter(account_id=ada.account_id).exists()
    assert Order.objects.get(pk=int(other)).status == "open", "nobody else's"
    assert barred_orders_cancel() == 0
    assert audit_run(db, full=True).breaches == []


def test_orders_may_be_kept(ada: Trader, worker: WorkerProcess, db: psycopg.Connection) -> None:
    placed(ada)
    user_suspend(user_id=ada.user.pk, actor_id=None, reason="odd", cancels=False)
    engine_runs(worker, db)
    assert barred_orders_cancel() == 0
    engine_runs(worker, db)
    assert live_orders(ada) == 1


def test_who_was_suspended_trades_again_afterwards(ada: Trader) -> None:
    user_suspend(user_id=ada.user.pk, actor_id=None, reason="odd")
    assert decoded(ada.place())["code"] == "account.suspended"
    user_unsuspend(user_id=ada.user.pk, actor_id=None, reason="all is well")
    assert ada.place().status_code == 201
    assert barred_orders_cancel() == 0


def test_a_deactivated_users_orders_end_and_their_keys_do_not_work(
    ada: Trader, worker: WorkerProcess, db: psycopg.Connection
) -> None:
    placed(ada)
    engine_runs(worker, db)
    user_deactivate(user_id=ada.user.pk, actor_id=None, reason="left")
    assert ada.get("/balances").status_code == 401
    engine_runs(worker, db)
    assert live_orders(ada) == 0
    user_reactivate(user_id=ada.user.pk, actor_id=None, reason="came back")
    assert ada.get("/balances").status_code == 200


# --- nothing slips through


def refusal_of(db: psycopg.Connection, market: Market, job: Any) -> Code | None:
    """What intake says, whatever the web process still believed."""
    commit_batch(db, [job], market.publisher, next_id=market.ids.next_id, wait_for_locks=True)
    return job.outcome.code if isinstance(job.outcome, DomainError) else None


def test_intake_refuses_by_itself_what_a_stale_process_lets_through(
    ada: Trader, market: Market, worker: WorkerProcess, db: psycopg.Connection
) -> None:
    order_id = int(placed(ada))
    engine_runs(worker, db)
    user_suspend(user_id=ada.user.pk, actor_id=None, reason="odd", cancels=False)
    pair = [market.place_job(0, Side.SELL, 10, 12_000), market.place_job(0, Side.SELL, 10, 13_000)]
    assert refusal_of(db, market, market.place_job(0, Side.BUY, 10, 10_000)) == "account.suspended"
    amend = market.amend_job(0, order_id, Side.BUY, quantity_lots=5_000)
    assert refusal_of(db, market, amend) == "account.suspended"
    listed = ListJob(account_id=ada.account_id, kind=ListKind.OCO, places=pair)
    assert refusal_of(db, market, listed) == "account.suspended"
    assert refusal_of(db, market, market.cancel_job(0, order_id)) is None
    assert refusal_of(db, market, market.place_job(1, Side.BUY, 10, 10_000)) is None, "Boris may"
    assert Order.objects.filter(account_id=ada.account_id).count() == 1


def test_an_order_that_is_being_accepted_is_waited_for_and_ends(
    ada: Trader, market: Market, worker: WorkerProcess, db: psycopg.Connection
) -> None:
    """Intake has its locks; the suspension comes; intake commits: the order is among the ended."""
    db.execute("BEGIN")
    db.execute("SELECT id FROM wallets_balance WHERE account_id = %s FOR UPDATE", (ada.account_id,))
    done: list[int] = []

    def suspend() -> None:
        try:
            done.append(user_suspend(user_id=ada.user.pk, actor_id=None, reason="odd"))
        finally:
            connections.close_all()

    suspending = threading.Thread(target=suspend)
    suspending.start()
    until(lambda: waits_for_a_lock() or done)
    assert not done
    job = market.place_job(0, Side.BUY, 10, 10_000)
    commit_batch(db, [job], market.publisher, next_id=market.ids.next_id)
    assert isinstance(job.outcome, Accepted)
    suspending.join(HANG_S)
    assert done == [1]
    engine_runs(worker, db)
    assert live_orders(ada) == 0


def waits_for_a_lock() -> bool:
    with connect("watch") as watch:
        found = watch.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND query LIKE '%wallets_balance%FOR UPDATE%'"
        ).fetchone()
    return found is not None and found[0] > 0


def test_orders_placed_at_the_same_time_are_refused_or_ended(
    ada: Trader, worker: WorkerProcess, db: psycopg.Connection
) -> None:
    """Many requests at once, from processes that know of no suspension."""
    answers: list[tuple[int, str]] = []

    def place_many() -> None:
        try:
            for _ in range(25):
                principals_forget()
                response = ada.place(quantity="0.01")
                answers.append((response.status_code, decoded(response).get("code", "")))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=place_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) > 20)
    user_suspend(user_id=ada.user.pk, actor_id=None, reason="odd")
    for thread in threads:
        thread.join(HANG_S)
    assert {answer for answer in answers if answer[0] != 201} <= {(403, "account.suspended")}
    assert decoded(ada.place())["code"] == "account.suspended"
    engine_runs(worker, db)
    assert live_orders(ada) == 0
    assert not Reservation.objects.filter(account_id=ada.account_id).exists()


def test_a_cancel_that_missed_something_is_sent_again_but_not_piled_up(
    ada: Trader, monkeypatch: pytest.MonkeyPatch, db: psycopg.Connection
) -> None:
    placed(ada)
    user_suspend(user_id=ada.user.pk, actor_id=None, reason="odd")
    cancels = Command.objects.filter(kind="cancel_all", account_id=ada.account_id)
    assert cancels.count() == 1
    assert barred_orders_cancel() == 0, "the engine has not taken the first one yet"
    cancels.update(engine_seq=1)
    assert barred_orders_cancel() == 0, "it was sent just now"
    monkeypatch.setattr(suspensions, "RESEND_MS", -10_000)
    assert barred_orders_cancel_now() == 1, "the order came to the engine after it"
    assert barred_orders_cancel() == 0
    tasks = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert barred_orders_cancel_now.name in tasks
    assert cancels.count() == 2


def test_symbols_without_cancels_are_asked_later(ada: Trader, symbol: Symbol) -> None:
    placed(ada)
    User.objects.filter(pk=ada.user.pk).update(is_suspended=True, orders_end=True)
    Symbol.objects.filter(pk=symbol.pk).update(state="auction_cutoff")
    assert barred_orders_cancel() == 0
    Symbol.objects.filter(pk=symbol.pk).update(state="open")
    assert barred_orders_cancel() == 1


# --- in the back office


@pytest.fixture
def office(symbol: Symbol) -> Client:
    clerk = user_create("clerk", is_staff=True)
    codenames = ("view_user", "change_user", "suspend_user")
    clerk.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(clerk)
    return client


@pytest.mark.parametrize(("chosen", "cancels"), [("cancel", True), ("keep", False)])
def test_staff_suspend_from_the_users_page_with_a_reason(
    office: Client, ada: Trader, chosen: str, cancels: bool
) -> None:
    page = reverse("admin:user_suspend", args=[ada.user.pk])
    form = office.get(page).context["form"]
    assert form["orders"].initial == "cancel", "what happens unless staff say otherwise"
    assert office.post(page, {"reason": "", "orders": chosen}).status_code == 200
    ada.user.refresh_from_db()
    assert not ada.user.is_suspended, "not without a reason"
    assert office.post(page, {"reason": "fraud case 7", "orders": chosen}).status_code == 302
    ada.user.refresh_from_db()
    assert (ada.user.is_suspended, ada.user.orders_end) == (True, cancels)
    page = reverse("admin:user_unsuspend", args=[ada.user.pk])
    assert office.post(page, {"reason": "cleared"}).status_code == 302
    ada.user.refresh_from_db()
    assert (ada.user.is_suspended, ada.user.orders_end) == (False, False)


def test_staff_suspend_many_from_the_list(office: Client, ada: Trader, boris: Trader) -> None:
    body = {
        "action": "suspend",
        "note": "one ring",
        "_selected_action": [str(ada.user.pk), str(boris.user.pk)],
    }
    office.post(reverse("admin:exchange_user_changelist"), body)
    assert User.objects.filter(is_suspended=True, orders_end=True).count() == 2


def test_suspension_needs_its_permission(ada: Trader, symbol: Symbol) -> None:
    clerk = user_create("clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename="change_user"))
    client = Client()
    client.force_login(clerk)
    page = reverse("admin:user_suspend", args=[ada.user.pk])
    assert client.post(page, {"reason": "x", "orders": "cancel"}).status_code == 403
    body = {"action": "suspend", "note": "x", "_selected_action": [str(ada.user.pk)]}
    client.post(reverse("admin:exchange_user_changelist"), body)
    assert not User.objects.filter(is_suspended=True).exists()
