"""Outcomes of commands: told once and alike in the row, in a frame and at the order."""

from functools import partial
from typing import Any

import psycopg
import pytest

from exchange.api.keys import api_key_create
from exchange.domain.codes import Code
from exchange.domain.enums import CommandKind, Side
from exchange.models import User
from orders.commands.build import cancel_after_command
from orders.intake.jobs import CommandJob, cancel_job
from orders.models import Order
from tests.factories.market import Market
from tests.factories.trading import Trader, decoded, process_begin, process_end
from tests.factories.worker import Surroundings

pytestmark = pytest.mark.django_db(transaction=True)

BUY, SELL = Side.BUY, Side.SELL
ADA, BORIS = 0, 1


@pytest.fixture
def ada(market: Market) -> Any:
    """The market's first account, over HTTP."""
    process_begin()
    account_id = market.account_ids[ADA]
    user = User.objects.get(account=account_id)
    key, secret = api_key_create(user_id=user.pk, label="test", can_trade=True)
    yield Trader(user, account_id, key.key_id, secret)
    process_end()


def run(around: Surroundings, market: Market) -> None:
    around.deliver()
    if not around.started:
        around.start()
    around.started[-1].run()


def told(around: Surroundings, market: Market, account: int = ADA) -> list[dict[str, Any]]:
    """The command frames of an account."""
    frames = around.feed.bodies(f"account:{market.account_ids[account]}")
    return [frame["command"] for frame in frames if frame["type"] == "command"]


def resting(db: psycopg.Connection, market: Market, around: Surroundings) -> int:
    """A post-only sell of ada's at 110, beside boris's buy at 100."""
    market.place(db, BORIS, BUY, 5, 100)
    job = market.place_job(ADA, SELL, 5, 110, post_only=True)
    [order_id] = market.submit(db, job)
    run(around, market)
    return order_id


def test_a_refused_amend_is_told_with_its_reason(
    db: psycopg.Connection, market: Market, around: Surroundings
) -> None:
    order_id = resting(db, market, around)
    [command_id] = market.submit(db, market.amend_job(ADA, order_id, SELL, price_ticks=99))
    run(around, market)
    [frame] = told(around, market)
    assert frame == {
        "id": str(command_id),
        "kind": "amend",
        "symbol": market.rules.units.code,
        "order_id": str(order_id),
        "state": "refused",
        "code": Code.ORDER_POST_ONLY_WOULD_TAKE,
        "created_at": frame["created_at"],
    }
    assert told(around, market, BORIS) == []


def test_each_kind_of_command_is_told_when_it_is_done(
    db: psycopg.Connection, market: Market, around: Surroundings
) -> None:
    order_id = resting(db, market, around)
    setting = CommandJob(
        CommandKind.CANCEL_AFTER,
        partial(cancel_after_command, account_id=market.account_ids[ADA], due_ms=0),
        symbol_id=market.symbol_id,
        partition_id=market.partition_id,
        account_id=market.account_ids[ADA],
    )
    sent = market.submit(
        db,
        market.amend_job(ADA, order_id, SELL, price_ticks=111),
        market.cancel_job(ADA, order_id),
        market.cancel_all_job(ADA),
        setting,
    )
    run(around, market)
    shown = told(around, market)
    assert [int(one["id"]) for one in shown] == sent
    assert [one["kind"] for one in shown] == ["amend", "cancel", "cancel_all", "cancel_after"]
    assert {one["state"] for one in shown} == {"done"}
    assert [one["order_id"] for one in shown] == [str(order_id), str(order_id), None, None]


def test_a_cancel_that_a_fill_was_ahead_of_is_told_as_refused(
    db: psycopg.Connection, market: Market, around: Surroundings
) -> None:
    order_id = resting(db, market, around)
    market.place(db, BORIS, BUY, 5, 110)
    market.submit(db, market.cancel_job(ADA, order_id))
    run(around, market)
    [frame] = told(around, market)
    assert (frame["state"], frame["code"]) == ("refused", Code.ORDER_NOT_OPEN)
    bodies = around.feed.bodies(f"account:{market.account_ids[ADA]}")
    assert [body["type"] for body in bodies][-2:] == ["order", "command"], "first what happened"


def test_the_house_asks_for_a_cancel_and_nobody_is_told_but_by_the_order(
    db: psycopg.Connection, market: Market, around: Surroundings
) -> None:
    order_id = resting(db, market, around)
    job = cancel_job(order_id)
    market.submit(db, job)
    run(around, market)
    assert told(around, market) == []
    assert Order.objects.get(pk=order_id).status == "cancelled"


def test_a_worker_that_dies_before_it_tells_has_the_next_one_tell_the_same(
    db: psycopg.Connection, market: Market, around: Surroundings
) -> None:
    order_id = resting(db, market, around)
    [command_id] = market.submit(db, market.amend_job(ADA, order_id, SELL, price_ticks=99))
    around.deliver()
    around.feed.is_down = True
    around.started[-1].run()
    around.started[-1].kill()
    around.feed.is_down = False
    assert told(around, market) == []
    around.start().run()
    [frame] = told(around, market)
    assert (frame["id"], frame["state"]) == (str(command_id), "refused")
    row = db.execute(
        "SELECT engine_seq, refusal FROM orders_command WHERE id = %s", (command_id,)
    ).fetchone()
    around.started[-1].kill()
    around.start().run()
    assert all(again == frame for again in told(around, market)), "told again, it is the same"
    assert (
        row
        == db.execute(
            "SELECT engine_seq, refusal FROM orders_command WHERE id = %s", (command_id,)
        ).fetchone()
    )


def test_over_http_an_amend_is_pending_then_told_by_command_and_order(
    db: psycopg.Connection, market: Market, around: Surroundings, ada: Trader
) -> None:
    order_id = resting(db, market, around)
    assert decoded(ada.get(f"/orders/{order_id}"))["last_amend"] is None
    response = ada.amend(str(order_id), price="0.99")
    assert response.status_code == 202
    command_id = decoded(response)["command_id"]
    pending = decoded(ada.get(f"/commands/{command_id}"))
    assert (pending["state"], pending["code"]) == ("pending", None)
    assert decoded(ada.get(f"/orders/{order_id}"))["last_amend"] == pending
    run(around, market)  # the sweep finds it: the stream of this test is another one
    refused = decoded(ada.get(f"/commands/{command_id}"))
    assert (refused["state"], refused["code"]) == ("refused", Code.ORDER_POST_ONLY_WOULD_TAKE)
    assert decoded(ada.get(f"/orders/{order_id}"))["last_amend"] == refused
    assert told(around, market)[-1] == refused
    cancel_id = decoded(ada.cancel(str(order_id)))["command_id"]
    run(around, market)
    assert decoded(ada.get(f"/commands/{cancel_id}"))["state"] == "done"
    assert decoded(ada.get(f"/orders/{order_id}"))["last_amend"] == refused, "no cancel"


@pytest.mark.parametrize("command_id", ["1", "0", "9" * 19, "9" * 40, "abc", "-1"])
def test_unknown_commands_are_not_found(market: Market, ada: Trader, command_id: str) -> None:
    response = ada.get(f"/commands/{command_id}")
    assert (response.status_code, decoded(response)["code"]) == (404, "command.not_found")


def test_foreign_commands_and_those_of_the_house_are_not_found(
    db: psycopg.Connection, market: Market, around: Surroundings, ada: Trader
) -> None:
    order_id = resting(db, market, around)
    foreign = market.place(db, BORIS, BUY, 1, 50)
    ids = market.submit(
        db,
        market.cancel_job(BORIS, foreign),
        market.state_job(1),
        cancel_job(order_id),
    )
    for command_id in ids:
        response = ada.get(f"/commands/{command_id}")
        assert (response.status_code, decoded(response)["code"]) == (404, "command.not_found")
