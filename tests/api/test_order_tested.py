"""A test of an order: refused as the placement would be, and nothing changes."""

from typing import Any

import pytest

from exchange.infra.redis import commands_stream, redis_client
from exchange.models import Symbol
from tests.api.test_order_refusals import state_of_everything
from tests.factories.trading import Trader, decoded, order_body, trader_make


@pytest.mark.parametrize(
    ("changes", "reserves"),
    [
        ({}, {"asset": "USDT", "amount": "100.1"}),
        ({"side": "sell", "quantity": "2.5"}, {"asset": "BTC", "amount": "2.5"}),
        ({"quantity": "900", "price": "999"}, {"asset": "USDT", "amount": "899999.1"}),
    ],
)
def test_a_valid_order_is_told_what_it_would_reserve(
    ada: Trader, changes: dict[str, Any], reserves: dict[str, str]
) -> None:
    before = state_of_everything()
    response = ada.send("POST", "/orders/test", order_body(**changes))
    assert response.status_code == 200, response.content
    assert decoded(response) == {"is_valid": True, "reserves": reserves}
    assert state_of_everything() == before
    assert not redis_client().exists(commands_stream(1))


@pytest.mark.parametrize(
    "changes",
    [
        {"price": "100.001"},
        {"client_order_id": "a b"},
        {"symbol": "NO-SUCH", "client_order_id": "a b"},
        {"symbol": "NO-SUCH"},
        {"quantity": 1},
        {"type": "market", "price": None},
        {"colour": "red"},
        {"self_trade_prevention": "no such"},
    ],
)
def test_it_is_refused_as_the_placement_is(ada: Trader, changes: dict[str, Any]) -> None:
    body = order_body(**changes)
    tested, placed = ada.send("POST", "/orders/test", body), ada.send("POST", "/orders", body)
    assert tested.status_code == placed.status_code >= 400
    answers = [decoded(tested), decoded(placed)]
    for answer in answers:
        del answer["instance"]
    assert answers[0] == answers[1]


def test_it_counts_as_an_order_and_needs_the_right_to_trade(ada: Trader, symbol: Symbol) -> None:
    reader = trader_make("reader", can_trade=False)
    refused = reader.send("POST", "/orders/test", order_body())
    assert decoded(refused)["code"] == "auth.scope_missing"
    limited = trader_make("limited")
    assert limited.send("POST", "/orders/test", order_body())["RateLimit"] == '"orders";r=9;t=1'
