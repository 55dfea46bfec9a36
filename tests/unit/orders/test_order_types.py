"""Every order type with every field: what it needs, takes and refuses by name."""

from typing import Any

import pytest

from exchange.domain.codes import Code
from exchange.domain.enums import (
    LIMIT_TYPES,
    TRIGGER_TYPES,
    OrderType,
    SelfTradePrevention,
    TimeInForce,
)
from matching.engine.messages import (
    SOURCE_BEST,
    TRIGGER_STOP,
    TRIGGER_TAKE,
    TRIGGER_TRAILING,
    Terms,
)
from orders.validation.orders import draft_build
from tests.unit.orders.requests import FUTURE, NEEDED, refusal_of, request_of
from tests.unit.orders.test_validation import rules_make

TYPES = [kind.value for kind in OrderType]
STOP_TYPES = TRIGGER_TYPES - {OrderType.TRAILING_STOP}
MISSING = {
    "price": Code.ORDER_PRICE_REQUIRED,
    "quantity": Code.ORDER_QUANTITY_REQUIRED,
    "stop_price": Code.ORDER_STOP_PRICE_REQUIRED,
    "trail_amount": Code.ORDER_TRAIL_REQUIRED,
}
# field -> (a value of it, the types that take it, the code of the others)
OPTIONAL: dict[str, tuple[Any, frozenset[OrderType], Code]] = {
    "price": ("100", LIMIT_TYPES, Code.ORDER_PRICE_FORBIDDEN),
    "stop_price": ("90", STOP_TYPES, Code.ORDER_STOP_PRICE_FORBIDDEN),
    "trigger_source": ("best", TRIGGER_TYPES, Code.ORDER_TRIGGER_SOURCE_FORBIDDEN),
    "trail_amount": ("5", frozenset({OrderType.TRAILING_STOP}), Code.ORDER_TRAIL_FORBIDDEN),
    "trail_bps": (50, frozenset({OrderType.TRAILING_STOP}), Code.ORDER_TRAIL_FORBIDDEN),
    "activation_price": (
        "120",
        frozenset({OrderType.TRAILING_STOP}),
        Code.ORDER_TRAIL_FORBIDDEN,
    ),
    "display_quantity": ("0.5", LIMIT_TYPES, Code.ORDER_DISPLAY_INVALID),
    "post_only": (True, LIMIT_TYPES, Code.ORDER_POST_ONLY_INVALID),
    "bound_price": ("80", frozenset(OrderType) - LIMIT_TYPES, Code.ORDER_BOUND_FORBIDDEN),
}
TIMES = {
    OrderType.LIMIT: {"gtc", "gtd", "ioc", "fok"},
    OrderType.MARKET: {"ioc"},
    OrderType.STOP_MARKET: {"gtc", "gtd"},
    OrderType.TAKE_PROFIT: {"gtc", "gtd"},
    OrderType.STOP_LIMIT: {"gtc", "gtd", "ioc", "fok"},
    OrderType.TAKE_PROFIT_LIMIT: {"gtc", "gtd", "ioc", "fok"},
    OrderType.TRAILING_STOP: {"gtc", "gtd"},
}


@pytest.mark.parametrize("kind", TYPES)
def test_what_a_type_needs_is_enough(kind: str) -> None:
    draft = draft_build(request_of(kind), rules_make())
    assert draft.type == kind
    assert draft.quantity_lots == 1_000
    assert (draft.price_ticks > 0) == (draft.type in LIMIT_TYPES)
    assert (draft.terms is not None) == (draft.type in TRIGGER_TYPES)


@pytest.mark.parametrize(
    ("kind", "field"),
    [(kind, field) for kind in TYPES for field in NEEDED[kind] if kind != "market"],
)
def test_what_a_type_needs_and_lacks_is_named(kind: str, field: str) -> None:
    assert refusal_of(request_of(kind, **{field: None})) == (MISSING[field], field)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("field", OPTIONAL)
def test_a_field_is_taken_or_refused_by_name(kind: str, field: str) -> None:
    value, takers, code = OPTIONAL[field]
    changes = {field: value}
    if field == "trail_bps" and kind == "trailing_stop":
        changes["trail_amount"] = None
    request = request_of(kind, **changes)
    if kind in takers:
        draft_build(request, rules_make())
    else:
        assert refusal_of(request) == (code, field)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("word", [word.value for word in TimeInForce])
def test_each_type_has_its_times_in_force(kind: str, word: str) -> None:
    expires_at = FUTURE if word == "gtd" else None
    request = request_of(kind, time_in_force=word, expires_at=expires_at)
    if word in TIMES[OrderType(kind)]:
        assert draft_build(request, rules_make()).time_in_force == word
    else:
        assert refusal_of(request) == (Code.ORDER_TIME_IN_FORCE_INVALID, "time_in_force")


@pytest.mark.parametrize("kind", TYPES)
def test_the_default_time_in_force(kind: str) -> None:
    draft = draft_build(request_of(kind), rules_make())
    assert draft.time_in_force == ("ioc" if kind == "market" else "gtc")


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != "market"])
def test_only_a_market_order_takes_a_quote_amount(kind: str) -> None:
    request = request_of(kind, side="buy", quantity=None, quote_amount="100")
    assert refusal_of(request) == (Code.ORDER_QUANTITY_OR_QUOTE_AMOUNT, "quote_amount")


@pytest.mark.parametrize("kind", sorted(LIMIT_TYPES))
@pytest.mark.parametrize("word", ["ioc", "fok"])
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"post_only": True}, Code.ORDER_POST_ONLY_INVALID),
        ({"display_quantity": "0.5"}, Code.ORDER_DISPLAY_INVALID),
    ],
)
def test_what_ends_at_once_is_neither_post_only_nor_an_iceberg(
    kind: str, word: str, changes: dict[str, Any], code: Code
) -> None:
    assert refusal_of(request_of(kind, time_in_force=word, **changes)) == (
        code,
        next(iter(changes)),
    )


@pytest.mark.parametrize(
    ("kind", "changes", "terms"),
    [
        ("stop_limit", {}, Terms(TRIGGER_STOP, stop_ticks=9_000)),
        (
            "take_profit",
            {"trigger_source": "best"},
            Terms(TRIGGER_TAKE, stop_ticks=11_000, source=SOURCE_BEST),
        ),
        ("trailing_stop", {}, Terms(TRIGGER_TRAILING, trail_ticks=500)),
        (
            "trailing_stop",
            {"trail_amount": None, "trail_bps": 9_999, "activation_price": "120"},
            Terms(TRIGGER_TRAILING, trail_ppm=999_900, activation_ticks=12_000),
        ),
        ("limit", {"display_quantity": "0.999"}, Terms(display_lots=999)),
        (
            "limit",
            {"post_only": True, "reprice": True},
            Terms(reprice=True, reprice_limit_ticks=10_000_000),
        ),
        (
            "limit",
            {"post_only": True, "reprice": True, "side": "buy"},
            Terms(reprice=True, reprice_limit_ticks=rules_make().price_ticks_min),
        ),
        (
            "limit",
            {"time_in_force": "gtd", "expires_at": "1893456000000"},
            Terms(expire_ms=1_893_456_000_000),
        ),
        ("market", {"bound_price": "80"}, None),
    ],
)
def test_terms_stand_on_the_grid(kind: str, changes: dict[str, Any], terms: Terms | None) -> None:
    assert draft_build(request_of(kind, **changes), rules_make()).terms == terms


@pytest.mark.parametrize("kind", [kind for kind in TYPES if OrderType(kind) not in LIMIT_TYPES])
def test_a_named_bound_is_the_price_of_what_trades_as_a_market_order(kind: str) -> None:
    assert draft_build(request_of(kind, bound_price="80"), rules_make()).price_ticks == 8_000


def test_an_order_that_names_no_self_trade_mode_has_the_default_given() -> None:
    mode = SelfTradePrevention.DECREMENT
    assert draft_build(request_of("limit"), rules_make(), self_trade=mode).self_trade is mode
    request = request_of("limit", self_trade_prevention="cancel_both")
    named = draft_build(request, rules_make(), self_trade=mode).self_trade
    assert named is SelfTradePrevention.CANCEL_BOTH
