"""client_order_id: one id, one order (L7)."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from exchange.models import Symbol
from exchange.selectors import catalogue_forget
from orders.intake.process import intake_stop
from orders.models import ClientOrderId, Order
from tests.factories.trading import Trader, decoded, encode, order_body


def test_the_same_request_again_is_the_same_order(ada: Trader) -> None:
    first = ada.place(client_order_id="a", price="100.50")
    again = ada.place(client_order_id="a", price="100.5")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again["Idempotent-Replayed"] == "true"
    assert decoded(again) == decoded(first)
    assert Order.objects.count() == 1
    assert str(ada.balance("USDT")[1].normalize()) == "100.6005"


@pytest.mark.parametrize(
    "changes",
    [
        {"price": "101"},
        {"quantity": "2"},
        {"side": "sell"},
        {"time_in_force": "ioc"},
        {"post_only": True},
        {"self_trade_prevention": "none"},
        {"type": "market", "price": None},
    ],
)
def test_other_parameters_under_the_same_id_are_a_conflict(
    ada: Trader, changes: dict[str, Any]
) -> None:
    ada.place(client_order_id="a")
    response = ada.place(**{"client_order_id": "a", **changes})
    assert (response.status_code, decoded(response)["code"]) == (409, "order.client_id_conflict")
    assert Order.objects.count() == 1


def test_defaults_spelled_out_are_the_same_request(ada: Trader) -> None:
    ada.place(client_order_id="a")
    again = ada.place(
        client_order_id="a",
        time_in_force="gtc",
        post_only=False,
        self_trade_prevention="cancel_incoming",
    )
    assert again.status_code == 200


def test_two_accounts_may_use_one_client_id(ada: Trader, boris: Trader) -> None:
    assert ada.place(client_order_id="a").status_code == 201
    assert boris.place(client_order_id="a").status_code == 201


def test_a_refused_order_leaves_its_client_id_free(ada: Trader) -> None:
    assert ada.place(client_order_id="a", price="100000", quantity="10").status_code == 422
    assert not ClientOrderId.objects.exists()
    assert ada.place(client_order_id="a").status_code == 201


def test_an_accepted_order_is_answered_even_when_it_would_be_refused_now(
    ada: Trader, symbol: Symbol
) -> None:
    first = ada.place(client_order_id="a")
    Symbol.objects.update(state="halt")
    catalogue_forget()
    again = ada.place(client_order_id="a")
    assert again.status_code == 200
    assert decoded(again)["id"] == decoded(first)["id"]
    assert ada.place(client_order_id="a", price="99").status_code == 409


def test_a_restart_of_the_process_does_not_forget(ada: Trader) -> None:
    first = ada.place(client_order_id="a")
    intake_stop()
    assert decoded(ada.place(client_order_id="a"))["id"] == decoded(first)["id"]


def test_fifty_at_once_are_one_order(ada: Trader) -> None:
    body = encode(order_body(client_order_id="storm", quantity="3"))

    def place(number: int) -> tuple[int, str]:
        try:
            # Padding makes each signature its own: one twice would be a replay, not a repetition.
            response = ada.send("POST", "/orders", body + b" " * number)
            return response.status_code, decoded(response)["id"]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(place, range(50)))
    assert Counter(status for status, _ in answers) == {201: 1, 200: 49}
    assert len({order_id for _, order_id in answers}) == 1
    assert Order.objects.count() == 1
    assert str(ada.balance("USDT")[1].normalize()) == "300.3"
