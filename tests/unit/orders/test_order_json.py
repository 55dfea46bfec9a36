"""An order as API and feed show it: every key for every order, decimals plain, times in UTC."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from exchange.domain.enums import OrderStatus, Side
from orders.reads.orders import order_json

PLAIN: dict[str, Any] = {
    "id": 7,
    "client_order_id": "a",
    "symbol": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "time_in_force": "gtc",
    "post_only": False,
    "self_trade": "cancel_incoming",
    "price": Decimal("100.500000"),
    "quantity": Decimal("2.000"),
    "quote_amount": None,
    "filled": Decimal(0),
    "filled_quote": Decimal(0),
    "status": "open",
    "reason": None,
    "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    "updated_at": datetime(2026, 1, 1, tzinfo=UTC),
}
COLUMNS: dict[str, Any] = {
    "bound_price": None,
    "reference_price": None,
    "stop_price": None,
    "trigger_source": None,
    "trail_amount": None,
    "trail_ppm": None,
    "activation_price": None,
    "display_quantity": None,
    "expires_at": None,
    "reprice": False,
    "list_id": None,
}
MARKET = {"type": "market", "price": None, "bound_price": Decimal(105), "status": "filled"}


def shown(**changes: Any) -> dict[str, Any]:
    return order_json({**PLAIN, **COLUMNS, **changes})


def test_a_plain_order_shows_the_same_with_and_without_the_columns_it_leaves_empty() -> None:
    assert order_json(PLAIN) == shown()


def test_keys_are_the_same_for_every_order() -> None:
    assert set(shown()) == set(shown(stop_price=Decimal(1), trigger_source="last"))
    empty = {name for name, value in shown().items() if value is None}
    assert empty == {
        "quote_amount", "average_price", "reason", "expiry_reason", "stop_price", "trigger_source",
        "trail_amount", "trail_bps", "activation_price", "trail_stop_price", "trail_bound_price",
        "display_quantity", "expires_at", "bound_price", "reference_price", "slippage", "list_id",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "shows"),
    [
        (
            {"stop_price": Decimal("90.10"), "trigger_source": "best"},
            {"stop_price": "90.1", "trigger_source": "best"},
        ),
        ({"trigger_source": "last", "trail_ppm": 500}, {"trail_bps": 5}),
        (
            {
                "trigger_source": "last",
                "trail_amount": Decimal("5.0"),
                "activation_price": Decimal("120.00"),
            },
            {"trail_amount": "5", "trail_bps": None, "activation_price": "120"},
        ),
        ({"display_quantity": Decimal("0.50")}, {"display_quantity": "0.5"}),
        (
            {"expires_at": datetime(2030, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
            {"expires_at": "2030-01-01T00:00:00.000Z"},
        ),
        ({"expires_at": "2030-01-01T00:00:00.000Z"}, {"expires_at": "2030-01-01T00:00:00.000Z"}),
        ({"reprice": True, "post_only": True}, {"reprice": True}),
        ({"list_id": 1 << 60}, {"list_id": str(1 << 60)}),
        ({"bound_price": Decimal("105.0")}, {"bound_price": "105", "slippage": None}),
    ],
)
def test_terms_are_shown(columns: dict[str, Any], shows: dict[str, Any]) -> None:
    body = shown(**columns)
    assert {name: body[name] for name in shows} == shows


@pytest.mark.parametrize(
    ("side", "reference", "filled", "filled_quote", "slippage"),
    [
        (Side.BUY, "100", "2", "201", "0.005"),
        (Side.BUY, "100", "2", "199", "-0.005"),
        (Side.SELL, "100", "2", "199", "0.005"),
        (Side.SELL, "100", "2", "201", "-0.005"),
        (Side.BUY, "100", "2", "200", "0"),
        (Side.BUY, "1000000", "1", "1000000.5", "0"),  # half to even
        (Side.BUY, "1000000", "1", "1000001.5", "0.000002"),
        (Side.BUY, "3", "3", "10", "0.111111"),
        (Side.BUY, None, "2", "201", None),
        (Side.BUY, "100", "0", "0", None),
    ],
)
def test_slippage_is_the_adverse_fraction_of_the_reference(
    side: Side, reference: str | None, filled: str, filled_quote: str, slippage: str | None
) -> None:
    body = shown(
        **MARKET,
        side=side,
        reference_price=None if reference is None else Decimal(reference),
        filled=Decimal(filled),
        filled_quote=Decimal(filled_quote),
    )
    assert body["slippage"] == slippage
    assert body["reference_price"] == reference


@pytest.mark.parametrize("status", OrderStatus)
def test_only_what_expired_or_was_cancelled_has_an_expiry_reason(status: OrderStatus) -> None:
    body = shown(status=status.value, reason="order.ioc_rest")
    has_one = status in {OrderStatus.EXPIRED, OrderStatus.CANCELLED}
    assert body["expiry_reason"] == ("order.ioc_rest" if has_one else None)
    assert body["reason"] == "order.ioc_rest"
