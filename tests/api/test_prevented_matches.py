"""Prevented matches: an account sees its own orders' matches and nothing of the other account."""

from decimal import Decimal
from typing import Any

import pytest

from exchange.domain.ids import id_floor
from exchange.models import Symbol
from orders.models import PreventedMatch
from tests.factories.models import SymbolFactory
from tests.factories.trading import Trader, decoded

PATH = "/prevented-matches"
FIRST_ID = id_floor(1_767_225_600_000)


def prevented(number: int, symbol: Symbol, maker: Trader, taker: Trader, **changes: Any) -> str:
    """A match between order 10n of the maker and order 10n + 1 of the taker."""
    values: dict[str, Any] = {
        "id": FIRST_ID + number,
        "symbol_id": symbol.pk,
        "engine_seq": number,
        "price": Decimal("100.50"),
        "quantity": Decimal("0.250"),
        "mode": "cancel_both",
        "maker_order_id": 10 * number,
        "taker_order_id": 10 * number + 1,
        "maker_account_id": maker.account_id,
        "taker_account_id": taker.account_id,
        "taker_side": "sell",
        "created_at": "2026-01-01T00:00:00.007Z",
        **changes,
    }
    return str(PreventedMatch.objects.create(**values).pk)


def items(trader: Trader, parameters: str = "") -> list[dict[str, Any]]:
    response = trader.get(f"{PATH}{parameters}")
    assert response.status_code == 200, response.content
    found: list[dict[str, Any]] = decoded(response)["items"]
    return found


def ids(trader: Trader, parameters: str = "") -> list[str]:
    return [item["id"] for item in items(trader, parameters)]


def test_a_match_reads_as_documented(ada: Trader, symbol: Symbol) -> None:
    match_id = prevented(1, symbol, ada, ada)
    assert items(ada) == [
        {
            "id": match_id,
            "symbol": "BTC-USDT",
            "price": "100.5",
            "quantity": "0.25",
            "mode": "cancel_both",
            "taker_side": "sell",
            "maker_order_id": "10",
            "taker_order_id": "11",
            "time": "2026-01-01T00:00:00.007Z",
        }
    ]


def test_the_other_accounts_order_is_not_shown(ada: Trader, boris: Trader, symbol: Symbol) -> None:
    prevented(1, symbol, ada, boris)
    [of_ada], [of_boris] = items(ada), items(boris)
    assert (of_ada["maker_order_id"], of_ada["taker_order_id"]) == ("10", None)
    assert (of_boris["maker_order_id"], of_boris["taker_order_id"]) == (None, "11")


def test_nobody_sees_what_is_others(ada: Trader, boris: Trader, symbol: Symbol) -> None:
    prevented(1, symbol, boris, boris)
    assert items(ada) == []
    assert items(ada, "?order_id=10") == []


def test_newest_first_on_both_sides_each_once(ada: Trader, boris: Trader, symbol: Symbol) -> None:
    first = prevented(1, symbol, ada, boris)
    second = prevented(2, symbol, boris, ada)
    third = prevented(3, symbol, ada, ada)
    assert ids(ada) == [third, second, first]


def test_pages_join_without_gap_or_repetition(ada: Trader, boris: Trader, symbol: Symbol) -> None:
    own = [prevented(n, symbol, *((ada, boris) if n % 2 else (boris, ada))) for n in range(1, 6)]
    seen: list[str] = []
    path = f"{PATH}?limit=2"
    for _ in range(3):
        page = decoded(ada.get(path))
        seen += [item["id"] for item in page["items"]]
        path = f"{PATH}?limit=2&cursor={page['next']}"
    assert seen == own[::-1]
    assert path.endswith("cursor=None")


def test_filters_by_symbol_and_by_own_order(ada: Trader, boris: Trader, symbol: Symbol) -> None:
    other = SymbolFactory.create(code="ETH-USDT")
    here, there = prevented(1, symbol, ada, boris), prevented(2, other, ada, boris)
    assert ids(ada, "?symbol=BTC-USDT") == [here]
    assert ids(ada, "?symbol=ETH-USDT") == [there]
    assert ids(ada, "?order_id=20") == [there]
    assert ids(ada, "?order_id=21") == [], "that one is boris'"


@pytest.mark.parametrize(
    ("parameters", "status", "field"),
    [
        ("?order_id=ten", 400, "order_id"),
        ("?order_id=99999999999999999999", 400, "order_id"),
        ("?limit=501", 400, "limit"),
        ("?cursor=x", 400, "cursor"),
        ("?account=1", 400, "account"),
    ],
)
def test_parameters_that_are_not_understood_are_refused(
    ada: Trader, parameters: str, status: int, field: str
) -> None:
    response = ada.get(f"{PATH}{parameters}")
    assert response.status_code == status, response.content
    assert decoded(response)["errors"][0]["field"] == field


def test_unknown_symbols_are_named(ada: Trader) -> None:
    assert ada.get(f"{PATH}?symbol=DOGE-USDT").status_code == 404


def test_nobody_is_asked_who_they_are_in_vain(symbol: Symbol, ada: Trader) -> None:
    response = ada.client.get(f"/api/v1{PATH}")
    assert response.status_code == 401
    assert decoded(response)["code"] == "auth.required"
