"""Consistent reads: one answer shows one moment, whatever is matched and settled meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client

from exchange.infra.database import connect
from exchange.models import Symbol
from orders.models import Trade
from tests.factories.trading import Trader, decoded

pytestmark = pytest.mark.own_connection

# What changes with every batch of the engine and of settlement.
MOVING = ("orders_", "wallets_")


@pytest.fixture
def other() -> Iterator[psycopg.Connection]:
    with connect("test") as one:
        yield one


@contextmanager
def after_each_statement(act: Callable[[str], None]) -> Iterator[None]:
    """Act between the statements of whatever is read through Django's connection."""

    def hook(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        act(sql)
        return result

    with connection.execute_wrapper(hook):
        yield


def match_commit(other: psycopg.Connection, ada: Trader, symbol: Symbol, order_id: int) -> None:
    """What the worker commits for a complete fill: the trade and the order's row together."""
    with other.transaction():
        other.execute(
            "UPDATE orders_order SET status = 'filled', filled = quantity, filled_quote = 100,"
            " engine_seq = 1, priority_seq = 1, finished_at = now(), updated_at = now()"
            " WHERE id = %s",
            (order_id,),
        )
        other.execute(
            "INSERT INTO orders_trade (id, symbol_id, engine_seq, price, quantity, quote_amount,"
            " maker_order_id, taker_order_id, maker_account_id, taker_account_id, taker_side,"
            " created_at) VALUES (%s, %s, 1, 100, 1, 100, %s, %s, %s, %s, 'sell', now())",
            (order_id + 1, symbol.pk, order_id, order_id + 2, ada.account_id, ada.account_id),
        )


@pytest.mark.parametrize("path", ["/orders/{}", "/orders/{}/fills"])
def test_an_order_and_its_fills_agree_though_a_match_commits_between(
    ada: Trader, symbol: Symbol, other: psycopg.Connection, path: str
) -> None:
    order_id = int(decoded(ada.place(price="100", quantity="1"))["id"])
    committed: list[str] = []

    def act(sql: str) -> None:
        if "orders_order" in sql and not committed:
            committed.append(sql)
            match_commit(other, ada, symbol, order_id)

    with after_each_statement(act):
        torn = decoded(ada.get(path.format(order_id)))
    assert committed, "the match was committed while the answer was made"
    fills = torn.get("fills", torn.get("items"))
    total = torn.get("fills_total", torn.get("total"))
    assert (fills, total, torn.get("filled", "0")) == ([], 0, "0")
    now = decoded(ada.get(f"/orders/{order_id}"))
    assert (now["filled"], now["fills_total"], len(now["fills"])) == ("1", 1, 1)


def test_every_read_takes_what_moves_in_one_statement(ada: Trader, symbol: Symbol) -> None:
    order_id = decoded(ada.place())["id"]
    command_id = decoded(ada.cancel(order_id))["command_id"]
    legs = [
        {"side": "sell", "type": "limit", "price": "120", "quantity": "1"},
        {"side": "sell", "type": "stop_market", "stop_price": "80", "quantity": "1"},
    ]
    body = {
        "type": "oco",
        "symbol": "BTC-USDT",
        "orders": [{**leg, "client_order_id": f"leg-{n}"} for n, leg in enumerate(legs)],
    }
    list_id = decoded(ada.send("POST", "/order-lists", body))["id"]
    for path in (
        "/orders",
        "/orders?status=open",
        "/orders?client_order_id=leg-0",
        f"/orders/{order_id}",
        f"/orders/{order_id}/fills",
        f"/commands/{command_id}",
        "/order-lists",
        f"/order-lists/{list_id}",
        "/balances",
        "/prevented-matches",
        "/trades?symbol=BTC-USDT",
    ):
        statements: list[str] = []
        with after_each_statement(statements.append):
            assert ada.get(path).status_code == 200, path
        moving = [
            sql
            for sql in statements
            if any(word in sql for word in MOVING) and "exchange_apikey" not in sql
        ]
        assert len(moving) == 1, (path, moving)


def fills_made(ada: Trader, symbol: Symbol, order_id: int, count: int) -> None:
    Trade.objects.bulk_create(
        Trade(
            id=order_id + 1 + number,
            symbol_id=symbol.pk,
            engine_seq=number // 2 + 1,
            price=Decimal("0.01"),
            quantity=Decimal("0.0001"),
            quote_amount=Decimal("0.000001"),
            maker_order_id=order_id,
            taker_order_id=order_id + 100_000,
            maker_account_id=ada.account_id,
            taker_account_id=ada.account_id,
            taker_side="sell",
            created_at=datetime.now(UTC),
        )
        for number in range(count)
    )


def test_fills_have_a_total_and_pages_and_no_fee_is_lost_between_them(
    ada: Trader, symbol: Symbol
) -> None:
    order_id = int(decoded(ada.place(price="0.01", quantity="300"))["id"])
    fills_made(ada, symbol, order_id, 2_345)
    detail = decoded(ada.get(f"/orders/{order_id}"))
    assert (len(detail["fills"]), detail["fills_total"]) == (100, 2_345)
    fills, cursor = detail["fills"], detail["fills_next"]
    while cursor is not None:
        page = decoded(ada.get(f"/orders/{order_id}/fills?limit=1000&cursor={cursor}"))
        assert page["total"] == 2_345
        fills += page["items"]
        cursor = page["next"]
    assert [int(fill["trade_id"]) for fill in fills] == list(range(order_id + 1, order_id + 2_346))
    # 500 ppm of 2,345 atoms, rounded up once over the whole order.
    assert sum(Decimal(fill["fee"]) for fill in fills) == Decimal("0.000002")
    assert decoded(ada.get(f"/orders/{order_id}/fills?limit=1"))["items"] == fills[:1]


def test_cursors_of_fills_belong_to_their_order(ada: Trader, boris: Trader, symbol: Symbol) -> None:
    order_id = int(decoded(ada.place())["id"])
    fills_made(ada, symbol, order_id, 2)
    cursor = decoded(ada.get(f"/orders/{order_id}/fills?limit=1"))["next"]
    other_id = decoded(ada.place())["id"]
    wrong = ada.get(f"/orders/{other_id}/fills?cursor={cursor}")
    assert (wrong.status_code, decoded(wrong)["code"]) == (400, "request.field_invalid")
    foreign = boris.get(f"/orders/{order_id}/fills")
    assert (foreign.status_code, decoded(foreign)["code"]) == (404, "order.not_found")
    assert Client().get(f"/api/v1/orders/{order_id}/fills").status_code == 401
