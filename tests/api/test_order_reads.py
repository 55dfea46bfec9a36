"""Reads of orders and market data: filters, cursors, fills with fees."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from exchange.domain.ids import EPOCH_MS, TIME_SHIFT, id_time_ms
from exchange.infra.redis import book_key, redis_client
from exchange.models import Symbol
from orders.models import Order, Trade
from orders.reads.orders import OrderFilter, orders_of_account
from tests.factories.trading import Trader, decoded


def placed(trader: Trader, **changes: str) -> str:
    order_id: str = decoded(trader.place(**changes))["id"]
    return order_id


def ids_of(trader: Trader, query: str = "") -> list[str]:
    response = trader.get(f"/orders{query}")
    assert response.status_code == 200, response.content
    return [item["id"] for item in decoded(response)["items"]]


def test_lists_own_orders_newest_first(ada: Trader, boris: Trader) -> None:
    own = [placed(ada) for _ in range(3)]
    placed(boris)
    assert ids_of(ada) == own[::-1]


def test_pages_join_without_gap_or_repetition(ada: Trader) -> None:
    own = [placed(ada) for _ in range(5)]
    seen: list[str] = []
    path = "/orders?limit=2"
    for _ in range(3):
        page = decoded(ada.get(path))
        seen += [item["id"] for item in page["items"]]
        path = f"/orders?limit=2&cursor={page['next']}"
    assert seen == own[::-1]
    assert path.endswith("cursor=None")


def test_a_cursor_is_good_for_its_own_list_only(ada: Trader, boris: Trader) -> None:
    for _ in range(2):
        placed(ada)
    cursor = decoded(ada.get("/orders?limit=1"))["next"]
    forged = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    for trader, text in ((boris, cursor), (ada, forged), (ada, "x"), (ada, "%C3%A9")):
        response = trader.get(f"/orders?cursor={text}")
        assert decoded(response)["code"] in ("request.field_invalid", "auth.signature_invalid")
        assert response.status_code in (400, 401)


def test_filters_by_status_word_and_client_id(ada: Trader) -> None:
    live, ended = placed(ada, client_order_id="live"), placed(ada, client_order_id="ended")
    Order.objects.filter(pk=ended).update(engine_seq=1, status="cancelled")
    assert ids_of(ada, "?status=open") == ids_of(ada, "?status=live") == [live]
    assert ids_of(ada, "?status=new") == [live]
    assert ids_of(ada, "?status=final") == ids_of(ada, "?status=cancelled") == [ended]
    assert ids_of(ada, "?client_order_id=ended") == [ended]
    assert ids_of(ada, "?client_order_id=ended&status=open") == []
    assert ids_of(ada, "?client_order_id=nothing") == []
    assert ids_of(ada, "?symbol=BTC-USDT") == [ended, live]


def test_filters_by_time(ada: Trader) -> None:
    first, second = placed(ada), placed(ada)
    between_ms = id_time_ms(int(second))
    assert ids_of(ada, f"?from={between_ms}") == [second]
    assert ids_of(ada, f"?to={between_ms}") == [first]
    text = datetime.fromtimestamp(between_ms / 1000, UTC).isoformat(timespec="milliseconds")
    assert ids_of(ada, f"?from={text.replace('+00:00', 'Z')}") == [second]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=ten", "limit"),
        ("status=done", "status"),
        ("from=yesterday", "from"),
        ("to=2026-01-01T00:00:00", "to"),
        ("page=2", "page"),
        ("client_order_id=%00", "client_order_id"),
        ("client_order_id=", "client_order_id"),
    ],
)
def test_parameters_that_are_not_understood_are_refused(
    ada: Trader, query: str, field: str
) -> None:
    response = ada.get(f"/orders?{query}")
    assert response.status_code in (400, 422)
    assert decoded(response)["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("from=0001-01-01T00:00:00%2B14:00", 1),
        ("to=0001-01-01T00:00:00%2B14:00", 0),
        ("from=9999-12-31T23:59:59-14:00", 0),
        ("to=9999-12-31T23:59:59-14:00", 1),
        ("from=99999999999999", 0),
        ("to=99999999999999", 1),
    ],
)
def test_times_at_the_ends_of_time_are_answered(ada: Trader, query: str, count: int) -> None:
    placed(ada)
    assert len(ids_of(ada, f"?{query}")) == count


@pytest.mark.own_connection
def test_live_orders_are_found_by_their_reservations_not_by_reading_ended_ones(
    ada: Trader,
) -> None:
    live = placed(ada)
    with CaptureQueriesContext(connection) as queries:
        assert ids_of(ada, "?status=open") == [live]
    [listing] = [one["sql"] for one in queries if "ORDER BY placed.id DESC" in one["sql"]]
    assert "wallets_reservation" in listing
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")  # as with tables that are worth an index
        cursor.execute(f"EXPLAIN {listing}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")
    reads = [line for line in plan.splitlines() if "Index Cond" in line and "account" in line]
    assert sum("id = ANY" in line for line in reads) == plan.count("on orders_order_"), plan


def test_a_fill_by_a_process_whose_clock_is_behind_is_shown(ada: Trader, symbol: Symbol) -> None:
    order_id = int(placed(ada, price="100", quantity="1"))
    Trade.objects.create(
        id=order_id - (50 << TIME_SHIFT),  # 50 ms "before" its own order
        symbol_id=symbol.pk,
        engine_seq=1,
        price=Decimal(100),
        quantity=Decimal("0.5"),
        quote_amount=Decimal(50),
        maker_order_id=order_id + 100,
        taker_order_id=order_id,
        maker_account_id=ada.account_id,
        taker_account_id=ada.account_id,
        taker_side="buy",
        created_at=datetime.now(UTC),
    )
    [fill] = decoded(ada.get(f"/orders/{order_id}"))["fills"]
    assert (fill["quantity"], fill["role"]) == ("0.5", "taker")


def test_a_date_range_touches_only_its_partitions(ada: Trader) -> None:
    """The statement of the list, with dates in the first month there is, plans no other month."""
    statements: list[str] = []

    def keep(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        statements.append(context["cursor"].mogrify(sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(keep):
        orders_of_account(
            ada.account_id,
            OrderFilter(from_ms=EPOCH_MS + 1, to_ms=EPOCH_MS + 1_000),
        )
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statements[-1]}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert plan.count("on orders_order_") <= 1, plan


def test_detail_shows_fills_and_the_fee_rounded_once_over_the_order(
    ada: Trader, symbol: Symbol
) -> None:
    order_id = int(placed(ada, price="0.01", quantity="300"))
    # Two fills of notional 1.5 each: 1,500 atom-ppm would round up twice, but only does once.
    for number, quantity in enumerate(("0.0001", "0.0001")):
        Trade.objects.create(
            id=order_id + 1 + number,
            symbol_id=symbol.pk,
            engine_seq=number + 1,
            price=Decimal("0.01"),
            quantity=Decimal(quantity),
            quote_amount=Decimal("0.000001"),
            maker_order_id=order_id,
            taker_order_id=order_id + 100,
            maker_account_id=ada.account_id,
            taker_account_id=ada.account_id,
            taker_side="sell",
            created_at=datetime.now(UTC),
        )
    fills = decoded(ada.get(f"/orders/{order_id}"))["fills"]
    assert [fill["fee"] for fill in fills] == ["0.000001", "0"]
    assert {fill["role"] for fill in fills} == {"maker"}
    assert {fill["fee_asset"] for fill in fills} == {"USDT"}


def test_public_trades_of_a_symbol_that_has_none(symbol: Symbol) -> None:
    client = Client()
    assert decoded(client.get("/api/v1/trades?symbol=BTC-USDT")) == {"items": [], "next": None}
    for query, code in (("", "request.field_missing"), ("?symbol=NO-PE", "symbol.unknown")):
        assert decoded(client.get(f"/api/v1/trades{query}"))["code"] == code


def test_depth_is_what_the_worker_wrote_cut_to_the_limit(symbol: Symbol) -> None:
    levels = [[str(100 - number), "1"] for number in range(30)]
    frame = {
        "channel": "BTC-USDT@depth",
        "type": "snapshot",
        "sequence": 7,
        "time": "2026-01-01T00:00:00.000Z",
        "bids": levels,
        "asks": [["101", "2"]],
    }
    redis_client().set(book_key("BTC-USDT"), msgspec.json.encode(frame))
    body = decoded(Client().get("/api/v1/depth?symbol=BTC-USDT&limit=2"))
    assert body == {
        "symbol": "BTC-USDT",
        "sequence": 7,
        "time": "2026-01-01T00:00:00.000Z",
        "bids": levels[:2],
        "asks": [["101", "2"]],
    }
    assert len(decoded(Client().get("/api/v1/depth?symbol=BTC-USDT"))["bids"]) == 20


def test_symbols_show_their_rules(symbol: Symbol) -> None:
    [item] = decoded(Client().get("/api/v1/symbols"))["items"]
    assert item["symbol"] == "BTC-USDT"
    assert (item["tick"], item["lot"], item["state"]) == ("0.01", "0.0001", "open")
    assert (item["maker_fee_ppm"], item["taker_fee_ppm"]) == (500, 1_000)


def test_balances_are_the_accounts_own(ada: Trader, boris: Trader) -> None:
    ada.place(price="100", quantity="1")
    items = {item["asset"]: item for item in decoded(ada.get("/balances"))["items"]}
    assert items["USDT"]["available"] == "99899.9"
    assert items["USDT"]["reserved"] == "100.1"
    theirs = {item["asset"]: item for item in decoded(boris.get("/balances"))["items"]}
    assert theirs["USDT"]["reserved"] == "0"
