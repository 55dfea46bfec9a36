"""Careless and hostile clients of the API: they cause no fault of ours and no bad order."""

import random
from decimal import Decimal
from typing import Any

import pytest
from django.http import HttpResponse

from exchange.infra.redis import commands_stream, redis_client
from exchange.models import Symbol
from exchange.selectors import catalogue
from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.messages import AUCTION, BUY, OPEN, SELL, Place, SetState
from matching.state.codec import decode_command, decode_journal, encode_journal
from tests.api.test_order_refusals import state_of_everything
from tests.api.test_order_types import symbol_change, top_set
from tests.factories.trading import Trader, decoded, fast_tier, trader_make

Body = dict[str, Any]

STRANGE: list[Any] = [
    "0", "-1", "1e2", "NaN", "Infinity", "", " 1", "\u0663", "\uff11", "1.", "00", "1_0", "1\x00",
    "9" * 20, "9" * 400, f"{'9' * 20}.{'9' * 18}", "9223372036854775808", "0.000000000000000001",
    1, 1.5, -1, (1 << 63), True, None, [], {}, ["1"], {"a": 1}, "none", "buy\n", "trailing_stop",
    "2030-01-01T00:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
    "2030-02-30T00:00:00Z", "2030-01-01T23:59:60Z", "99999999999999", "001893456000000",
]  # fmt: skip
FIELDS = (
    "price", "quantity", "quote_amount", "stop_price", "trail_amount", "trail_bps",
    "activation_price", "display_quantity", "bound_price", "expires_at", "side", "type",
    "time_in_force", "trigger_source", "self_trade_prevention", "post_only", "reprice", "symbol",
    "client_order_id", "id", "account_id", "status", "list_id", "owner_tag", "maker_fee_ppm",
)  # fmt: skip
VALID: list[Body] = [
    {"type": "limit", "price": "100"},
    {"type": "limit", "price": "100", "display_quantity": "0.1"},
    {"type": "limit", "price": "100", "time_in_force": "gtd", "expires_at": "99999999999999"},
    {"type": "limit", "price": "100", "post_only": True, "reprice": True},
    {"type": "market"},
    {"type": "stop_market", "stop_price": "110"},
    {"type": "stop_limit", "stop_price": "110", "price": "111"},
    {"type": "take_profit", "stop_price": "90", "trigger_source": "best"},
    {"type": "trailing_stop", "trail_bps": 9_999},
    {"type": "trailing_stop", "trail_amount": "5", "activation_price": "80"},
]
# Around 2**63 in ticks and lots, and where their product passes it.
PRICES = ("0.01", "1", "90", "100", "110", "3037000499.97", "92233720368547758.06",
          "92233720368547758.07", "92233720368547758.08")  # fmt: skip
QUANTITIES = ("0.0001", "0.5", "1", "2", "1000", "303700049.9976", "28147497671.0656",
              "28147497671.0657", "922337203685477.5808")  # fmt: skip


def refused(response: HttpResponse, what: object) -> None:
    """It is a refusal in the API's own words, not a fault."""
    body = decoded(response)
    assert 400 <= response.status_code < 500, (what, body)
    assert response["Content-Type"] == "application/problem+json"
    assert body["code"] != "internal.error"
    assert all(error["field"] for error in body["errors"])


@pytest.mark.parametrize("seed", range(2))
def test_strange_orders_are_refused_by_field_and_change_nothing(ada: Trader, seed: int) -> None:
    rng = random.Random(seed)
    top_set(9_900, 10_000, 9_900)
    refusals = 0
    before = state_of_everything()
    for number in range(250):
        side = rng.choice(("buy", "sell"))
        body: Body = {"symbol": "BTC-USDT", "side": side, "quantity": "1", **rng.choice(VALID)}
        body["client_order_id"] = f"c{number}"
        for name in rng.sample(FIELDS, rng.choice((1, 1, 2))):
            body[name] = rng.choice(STRANGE)
        response = ada.send("POST", "/orders", body)
        if response.status_code in (200, 201):
            before = state_of_everything()
            continue
        refused(response, body)
        assert state_of_everything() == before, body
        refusals += 1
    assert refusals > 150


def leg(rng: random.Random, client_order_id: str) -> Body:
    """An order whose fields fit its type, at the edges of what numbers hold."""
    body: Body = {"side": rng.choice(("buy", "sell")), "quantity": rng.choice(QUANTITIES)}
    body |= {"client_order_id": client_order_id, **rng.choice(VALID)}
    for name in ("price", "stop_price", "trail_amount", "activation_price"):
        if name in body:
            body[name] = rng.choice(PRICES)
    if "display_quantity" in body:
        body["display_quantity"] = rng.choice(QUANTITIES)
    return body


def request_of(rng: random.Random, number: int) -> tuple[str, Body]:
    if rng.random() < 0.6:
        return "/orders", {"symbol": "BTC-USDT", **leg(rng, f"c{number}")}
    kind = rng.choice(("oco", "oto", "otoco"))
    legs = [leg(rng, f"c{number}-{at}") for at in range(3 if kind == "otoco" else 2)]
    quantity, side = rng.choice(QUANTITIES), rng.choice(("buy", "sell"))
    for one in legs[0 if kind == "oco" else 1 :]:
        one["side"] = side
    for one in legs:
        one["quantity"] = quantity
    return "/order-lists", {"type": kind, "symbol": "BTC-USDT", "orders": legs}


def commands_taken() -> list[Any]:
    entries: Any = redis_client().xrange(commands_stream(1))
    redis_client().delete(commands_stream(1))
    return [decode_command(fields[b"c"]) for _, fields in entries]


@pytest.fixture
def rich(symbol: Symbol) -> Trader:
    """On a symbol whose limits are as wide as columns hold, with the money for it."""
    widest = Decimal("99999999999999999999")
    symbol_change(price_max=widest, quantity_max=widest, open_orders_max=0)
    return trader_make("rich", funds={"USDT": 9 * 10**19, "BTC": 9 * 10**19}, tier=fast_tier())


@pytest.mark.parametrize(("seed", "slippage_ppm"), [(0, 50_000), (1, 0), (2, 2_000_000_000)])
def test_whatever_is_accepted_the_engine_takes_and_journals(
    rich: Trader, seed: int, slippage_ppm: int
) -> None:
    symbol_change(slippage_ppm=slippage_ppm)
    rng, engine = random.Random(seed), Engine()
    accepted = 0
    for number in range(150):
        top_set(*rng.choice(((9_900, 10_000, 9_900), (0, 0, 0), ((1 << 63) - 2, (1 << 63) - 1, 1))))
        path, body = request_of(rng, number)
        before = state_of_everything()
        response = rich.send("POST", path, body)
        if response.status_code != 201:
            refused(response, body)
            assert state_of_everything() == before, body
            continue
        accepted += 1
        answer = decoded(response)
        rich.amend(answer.get("orders", [answer])[-1]["id"], quantity=rng.choice(QUANTITIES))
        for command in commands_taken():
            row = Sequenced(engine.sequence + 1, command, engine.apply(command))
            assert decode_journal(encode_journal([row])) == [row]
        engine.check()
    assert accepted > 25


def test_many_orders_of_the_largest_size_still_add_up(rich: Trader) -> None:
    """Their sum is in the event of an auction and in the depth: it has to fit 64 bits."""
    rules = catalogue().symbols["BTC-USDT"]
    symbol_id, lots = rules.units.symbol_id, rules.quantity_lots_max
    engine = Engine()
    engine.apply(SetState(1, 0, symbol_id, AUCTION))
    numbers = iter(range(2, 100))
    for account_id in range(1, 9):
        for side in (BUY, SELL):
            number = next(numbers)
            engine.apply(Place(number, 0, symbol_id, number, account_id, side, 100, lots))
    opening = SetState(99, 0, symbol_id, OPEN)
    row = Sequenced(engine.sequence + 1, opening, engine.apply(opening))
    assert decode_journal(encode_journal([row])) == [row]
    assert 32_768 * lots <= 1 << 63


@pytest.mark.parametrize(
    "path",
    [
        "/orders?symbol=", "/orders?symbol=%00", "/orders?status=", "/orders?limit=0",
        "/orders?limit=%D9%A1", "/orders?from=2030-01-01", "/orders?from=NaN", "/orders?cursor=x",
        "/orders?account_id=1", "/order-lists?limit=501", "/order-lists?cursor=%00",
        "/order-lists?symbol=BTC-USDT", "/prevented-matches?order_id=-1",
        "/prevented-matches?symbol=", "/trades?symbol=", "/depth?symbol=",
        "/orders/%D9%A1", "/orders/-1", "/order-lists/1e3", "/order-lists/9223372036854775808",
    ],
)  # fmt: skip
def test_strange_reads_are_refused_and_never_widened(ada: Trader, path: str) -> None:
    refused(ada.get(path), path)


def test_a_list_of_a_thousand_orders_is_none(ada: Trader) -> None:
    before = state_of_everything()
    orders: list[dict[str, str]] = [{}] * 1_000
    response = ada.send("POST", "/order-lists", {"type": "oco", "symbol": "X", "orders": orders})
    assert decoded(response)["code"] == "order.list_invalid"
    assert state_of_everything() == before
