"""The log of refused orders: one line with who and why, one count; the lines are bounded."""

from collections.abc import Callable
from typing import Any

import pytest

from exchange.infra.metrics import ORDERS_REFUSED
from exchange.models import Symbol
from orders.api.refusals import LINES_OF_ACCOUNT, LINES_OF_ALL, UNTOLD, lines_forget
from tests.factories.metrics import metric_value
from tests.factories.trading import Trader, decoded, trader_make

Told = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def told(logged: Callable[[str], list[dict[str, Any]]]) -> Told:
    """What is logged of refused orders; nobody was told anything before."""
    lines_forget()
    return lambda: logged("order.refused")


def counted(code: str) -> float:
    return metric_value(ORDERS_REFUSED.labels(code))


def test_a_refused_order_names_code_user_account_symbol_and_request(
    ada: Trader, told: Told
) -> None:
    before = counted("order.price_off_tick")
    answer = ada.place(price="100.001")
    [line] = told()
    assert line["what"] == "order"
    assert line["code"] == decoded(answer)["code"] == "order.price_off_tick"
    assert (line["user_id"], line["account_id"]) == (ada.user.pk, ada.account_id)
    assert (line["symbol"], line["field"]) == ("BTC-USDT", "price")
    assert line["key_id"] == ada.key
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert counted("order.price_off_tick") == before + 1


def test_whatever_refuses_it_leaves_its_line(ada: Trader, symbol: Symbol, told: Told) -> None:
    order_id = decoded(ada.place())["id"]
    refused = [
        ada.place(symbol="NO-SUCH" + "X" * 100),
        ada.place(quantity="1000", price="900000"),
        ada.send("POST", "/orders", b"{"),
        ada.send("POST", "/order-lists", {"type": "oco", "symbol": "BTC-USDT", "orders": []}),
        ada.amend(order_id, price="0"),
        ada.amend("12345", price="99"),
    ]
    codes = [decoded(answer)["code"] for answer in refused]
    assert [line["code"] for line in told()] == codes
    assert told()[0]["symbol"] == "NO-SUCH" + "X" * 18, "cut: it is the client's own text"
    assert [line["order_id"] for line in told()][-2:] == [int(order_id), 12345]


def test_lines_are_bounded_for_an_account_and_for_all(
    ada: Trader, symbol: Symbol, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    monkeypatch.setattr("orders.api.refusals.time.monotonic_ns", lambda: 10**15)
    boris, before = trader_make("boris", tier=ada.user.tier), metric_value(UNTOLD)
    for _ in range(LINES_OF_ACCOUNT.burst + 7):
        ada.place(price="0.001")
    assert len(told()) == LINES_OF_ACCOUNT.burst
    assert metric_value(UNTOLD) == before + 7
    boris.place(price="0.001")
    assert told()[-1]["user_id"] == boris.user.pk, "one who floods silences nobody else"
    assert LINES_OF_ALL.burst > LINES_OF_ACCOUNT.burst
