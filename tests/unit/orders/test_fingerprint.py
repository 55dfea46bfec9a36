"""Fingerprints: one for every spelling of an order, another for every other order."""

from itertools import combinations
from typing import Any

import pytest

from orders.validation.fingerprint import fingerprint_of
from orders.validation.requests import OrderRequest
from tests.unit.orders.requests import request_of

GTD = {"kind": "limit", "time_in_force": "gtd", "expires_at": "1893456000000"}


def mark(request: OrderRequest) -> str:
    return fingerprint_of(request)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"kind": "limit"}, {"kind": "limit", "time_in_force": "gtc"}),
        ({"kind": "limit", "price": "1.50"}, {"kind": "limit", "price": "1.5"}),
        ({"kind": "market"}, {"kind": "market", "time_in_force": "ioc"}),
        ({"kind": "stop_market"}, {"kind": "stop_market", "time_in_force": "gtc"}),
        ({"kind": "stop_market"}, {"kind": "stop_market", "trigger_source": "last"}),
        (
            {"kind": "stop_limit", "stop_price": "90.0", "display_quantity": "0.500"},
            {"kind": "stop_limit", "stop_price": "90", "display_quantity": "0.5"},
        ),
        (
            {"kind": "trailing_stop", "trail_amount": "5.0", "activation_price": "9.10"},
            {"kind": "trailing_stop", "trail_amount": "5", "activation_price": "9.1"},
        ),
        (
            {"kind": "market", "bound_price": "80.00"},
            {"kind": "market", "bound_price": "80"},
        ),
        (GTD, {**GTD, "expires_at": "2030-01-01T00:00:00Z"}),
        (GTD, {**GTD, "expires_at": "2030-01-01T01:00:00.0000+01:00"}),
        ({"kind": "limit"}, {"kind": "limit", "self_trade_prevention": "cancel_incoming"}),
        ({"kind": "limit"}, {"kind": "limit", "reprice": False}),
    ],
)
def test_spellings_of_one_order_have_one_fingerprint(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert mark(request_of(**one)) == mark(request_of(**other))


def test_every_field_makes_another_order() -> None:
    requests = [
        request_of(**changes)
        for changes in (
            {"kind": "limit"},
            {"kind": "limit", "side": "buy"},
            {"kind": "limit", "post_only": True},
            {"kind": "limit", "post_only": True, "reprice": True},
            {"kind": "limit", "display_quantity": "0.5"},
            {"kind": "limit", "bound_price": "0.5"},
            {"kind": "limit", "self_trade_prevention": "decrement"},
            GTD,
            {**GTD, "expires_at": "1893456000001"},
            {"kind": "stop_market"},
            {"kind": "stop_market", "stop_price": "91"},
            {"kind": "stop_market", "trigger_source": "best"},
            {"kind": "take_profit", "stop_price": "90"},
            {"kind": "trailing_stop"},
            {"kind": "trailing_stop", "trail_amount": None, "trail_bps": 5},
            {"kind": "trailing_stop", "activation_price": "5"},
        )
    ]
    marks = [mark(request) for request in requests]
    for one, other in combinations(range(len(marks)), 2):
        assert marks[one] != marks[other], (requests[one], requests[other])


def test_plain_orders_keep_the_fingerprint_that_rows_have() -> None:
    """Kept in orders_clientorderid: another one would make old orders conflicts."""
    assert mark(request_of("limit", price="100.50")) == "efdbc456bafb645353b93496fa65a230"
