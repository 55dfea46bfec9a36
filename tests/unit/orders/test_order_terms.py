"""Triggers, trails, icebergs, expiry and bounds: on the grid, in range, or refused by name."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from orders.validation.orders import draft_build
from orders.validation.terms import expiry_check
from orders.validation.values import TIME_MS_MAX, time_ms_parse
from tests.unit.orders.requests import FUTURE, refusal_of, request_of
from tests.unit.orders.test_validation import rules_make

RULES = rules_make(price_ticks_min=100, quantity_lots_min=10)  # prices from 1, quantities from 0.01
TRAIL = {"kind": "trailing_stop", "trail_amount": None}
GTD = {"kind": "limit", "time_in_force": "gtd"}
ICEBERG = {"kind": "limit", "quantity": "1"}


@pytest.mark.parametrize("field", ["stop_price", "activation_price", "bound_price"])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("90.001", Code.ORDER_PRICE_OFF_TICK),
        ("0", Code.ORDER_PRICE_BELOW_MIN),
        ("0.99", Code.ORDER_PRICE_BELOW_MIN),
        ("100000.01", Code.ORDER_PRICE_ABOVE_MAX),
        ("-1", Code.REQUEST_FIELD_INVALID),
        ("1e2", Code.REQUEST_FIELD_INVALID),
        ("", Code.REQUEST_FIELD_INVALID),
    ],
)
def test_every_price_is_on_the_grid_and_in_range(field: str, text: str, code: Code) -> None:
    kind = "trailing_stop" if field == "activation_price" else "stop_market"
    assert refusal_of(request_of(kind, **{field: text}), RULES) == (code, field)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({**TRAIL, "trail_amount": "0"}, Code.ORDER_TRAIL_INVALID, "trail_amount"),
        ({**TRAIL, "trail_amount": "0.001"}, Code.ORDER_TRAIL_INVALID, "trail_amount"),
        ({**TRAIL, "trail_amount": "100000.01"}, Code.ORDER_TRAIL_INVALID, "trail_amount"),
        ({**TRAIL, "trail_amount": "x"}, Code.REQUEST_FIELD_INVALID, "trail_amount"),
        ({**TRAIL, "trail_bps": 0}, Code.ORDER_TRAIL_INVALID, "trail_bps"),
        ({**TRAIL, "trail_bps": -1}, Code.ORDER_TRAIL_INVALID, "trail_bps"),
        ({**TRAIL, "trail_bps": 10_000}, Code.ORDER_TRAIL_INVALID, "trail_bps"),
        ({**TRAIL, "trail_bps": 10**30}, Code.ORDER_TRAIL_INVALID, "trail_bps"),
        ({**TRAIL, "trail_amount": "5", "trail_bps": 5}, Code.ORDER_TRAIL_REQUIRED, "trail_amount"),
        ({**TRAIL, "activation_price": "9"}, Code.ORDER_TRAIL_REQUIRED, "trail_amount"),
        (
            {"kind": "stop_limit", "trigger_source": "mark"},
            Code.REQUEST_FIELD_INVALID,
            "trigger_source",
        ),
        ({**ICEBERG, "display_quantity": "1"}, Code.ORDER_DISPLAY_INVALID, "display_quantity"),
        ({**ICEBERG, "display_quantity": "2"}, Code.ORDER_DISPLAY_INVALID, "display_quantity"),
        ({**ICEBERG, "display_quantity": "0"}, Code.ORDER_DISPLAY_INVALID, "display_quantity"),
        ({**ICEBERG, "display_quantity": "0.009"}, Code.ORDER_DISPLAY_INVALID, "display_quantity"),
        ({**ICEBERG, "display_quantity": "0.1005"}, Code.ORDER_DISPLAY_INVALID, "display_quantity"),
        ({**ICEBERG, "display_quantity": "1/2"}, Code.REQUEST_FIELD_INVALID, "display_quantity"),
        (
            {"kind": "limit", "quantity": "1.001", "display_quantity": "0.01"},
            Code.ORDER_DISPLAY_INVALID,
            "display_quantity",
        ),
        ({"kind": "limit", "reprice": True}, Code.ORDER_REPRICE_INVALID, "reprice"),
        ({"kind": "market", "reprice": True}, Code.ORDER_REPRICE_INVALID, "reprice"),
        (GTD, Code.ORDER_EXPIRY_REQUIRED, "expires_at"),
        ({"kind": "limit", "expires_at": FUTURE}, Code.ORDER_EXPIRY_INVALID, "expires_at"),
        ({"kind": "market", "expires_at": FUTURE}, Code.ORDER_EXPIRY_INVALID, "expires_at"),
        (
            {"kind": "limit", "time_in_force": "ioc", "expires_at": FUTURE},
            Code.ORDER_EXPIRY_INVALID,
            "expires_at",
        ),
        ({"kind": "stop_limit", "price": "0.001"}, Code.ORDER_PRICE_OFF_TICK, "price"),
        ({"kind": "stop_limit", "quantity": "0.01"}, Code.ORDER_NOTIONAL_BELOW_MIN, "quantity"),
        ({"kind": "stop_market", "quantity": "0.0005"}, Code.ORDER_QUANTITY_OFF_LOT, "quantity"),
        ({"kind": "trailing_stop", "quantity": "0"}, Code.ORDER_QUANTITY_BELOW_MIN, "quantity"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(
    changes: dict[str, Any], code: Code, field: str
) -> None:
    assert refusal_of(request_of(**changes), RULES) == (code, field)


@pytest.mark.parametrize("display", ["0.01", "0.5", "0.999"])
def test_an_iceberg_shows_a_hundredth_to_just_less_than_all(display: str) -> None:
    request = request_of(**ICEBERG, display_quantity=display)
    terms = draft_build(request, RULES).terms
    assert terms is not None
    assert terms.display_lots == RULES.units.quantity_lots(Decimal(display))


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "tomorrow", "2030-01-01", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z",
        "2030-02-30T00:00:00Z", "2030-01-01T24:30:00Z", "2030-01-01 00:00:00Z", "20300101T000000Z",
        "2030-W01-1T00:00:00Z", "2030-01-01T00:00:00+0100", "01893456000000", "-1", "1e12",
        "1893456000000.5", "100000000000000", "٢030-01-01T00:00:00Z", "2030-01-01T00:00:00Z\n",
        "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
    ],
)  # fmt: skip
def test_only_a_time_with_a_zone_is_an_expiry(text: str) -> None:
    request = request_of(**GTD, expires_at=text)
    assert refusal_of(request) == (Code.ORDER_EXPIRY_INVALID, "expires_at")


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-01T00:00:00.123Z",
        "2030-01-01T00:00:00.123999999Z",
        "2030-01-01T02:30:00.123+02:30",
        "2029-12-31T23:00:00.123-01:00",
        "1893456000123",
    ],
)
def test_one_moment_has_many_spellings(text: str) -> None:
    assert time_ms_parse(text) == 1_893_456_000_123


@given(st.integers(0, TIME_MS_MAX))
def test_a_time_survives_both_of_its_spellings(time_ms: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    assert time_ms_parse(moment.isoformat(timespec="milliseconds")) == time_ms
    assert time_ms_parse(str(time_ms)) == time_ms


@pytest.mark.parametrize(("now_ms", "refused"), [(999, False), (1_000, True), (1_001, True)])
def test_an_expiry_lies_in_the_future(now_ms: int, refused: bool) -> None:
    draft = draft_build(request_of(**GTD, expires_at="1000"), rules_make())
    if not refused:
        expiry_check(draft, now_ms)
        return
    with pytest.raises(DomainError) as refusal:
        expiry_check(draft, now_ms)
    assert (refusal.value.code, refusal.value.field) == (Code.ORDER_EXPIRY_INVALID, "expires_at")


@pytest.mark.parametrize("kind", ["stop_market", "take_profit"])
@pytest.mark.parametrize(
    ("side", "bound", "is_taken"),
    [
        ("sell", "99.99", True),
        ("sell", "100", True),
        ("sell", "100.01", False),
        ("buy", "100.01", True),
        ("buy", "100", True),
        ("buy", "99.99", False),
    ],
)
def test_a_bound_is_never_better_than_the_price_that_wakes(
    kind: str, side: str, bound: str, is_taken: bool
) -> None:
    request = request_of(kind, side=side, stop_price="100", bound_price=bound)
    if is_taken:
        draft_build(request, rules_make())
    else:
        assert refusal_of(request) == (Code.ORDER_BOUND_INVALID, "bound_price")
