"""Cancel-after over HTTP: what is sent, to where, for whom."""

import time
from datetime import datetime
from typing import Any

import pytest

from exchange.infra.redis import commands_stream, redis_client
from exchange.models import ApiKey, Symbol
from exchange.selectors import catalogue_forget
from matching.engine.messages import CancelAfter, Command
from matching.state.codec import decode_command
from orders.models import Command as CommandRow
from tests.factories.models import SymbolFactory
from tests.factories.trading import Trader, decoded, trader_make

DAY_MS = 86_400_000


def commands_sent() -> list[Command]:
    entries: Any = redis_client().xrange(commands_stream(1))
    return [decode_command(fields[b"c"]) for _, fields in entries]


def set_after(trader: Trader, timeout_ms: object, **options: object) -> Any:
    return trader.send("POST", "/orders/cancel-after", {"timeout_ms": timeout_ms, **options})


def test_it_is_a_durable_command_that_is_due_so_much_later(ada: Trader, symbol: Symbol) -> None:
    before_ms = time.time_ns() // 1_000_000
    response = set_after(ada, 60_000)
    assert response.status_code == 202
    answer = decoded(response)
    assert answer["symbols"] == ["BTC-USDT"]
    [command] = commands_sent()
    assert isinstance(command, CancelAfter)
    assert (command.symbol_id, command.account_id, command.owner_tag) == (
        symbol.pk,
        ada.account_id,
        0,
    )
    assert 0 <= command.due_ms - before_ms - 60_000 < 5_000
    assert datetime.fromisoformat(answer["due_at"]).timestamp() * 1_000 == command.due_ms
    row = CommandRow.objects.get()
    assert (row.kind, row.account_id, row.engine_seq) == ("cancel_after", ada.account_id, None)
    assert decode_command(bytes(row.payload)) == command


def test_each_symbol_has_its_own_and_all_are_due_together(ada: Trader) -> None:
    SymbolFactory.create(code="ETH-USDT")
    SymbolFactory.create(code="OLD-USDT", is_listed=False)
    SymbolFactory.create(code="END-USDT", state="closed")
    catalogue_forget()
    answer = decoded(set_after(ada, DAY_MS))
    commands = [one for one in commands_sent() if isinstance(one, CancelAfter)]
    assert sorted(answer["symbols"]) == ["BTC-USDT", "ETH-USDT"]
    assert len({one.symbol_id for one in commands}) == 2
    assert len({one.due_ms for one in commands}) == 1


def test_a_symbol_that_is_listed_no_more_counts_while_there_are_orders(
    ada: Trader, boris: Trader
) -> None:
    ada.place()
    Symbol.objects.update(is_listed=False)
    catalogue_forget()
    assert decoded(set_after(ada, 5_000))["symbols"] == ["BTC-USDT"]
    assert decoded(set_after(boris, 5_000))["symbols"] == []


def test_one_symbol_can_be_named(ada: Trader) -> None:
    SymbolFactory.create(code="ETH-USDT")
    catalogue_forget()
    assert decoded(set_after(ada, 1_000, symbol="ETH-USDT"))["symbols"] == ["ETH-USDT"]
    assert len(commands_sent()) == 1


def test_zero_clears_it(ada: Trader) -> None:
    answer = decoded(set_after(ada, 0))
    assert (answer["due_at"], answer["symbols"]) == (None, ["BTC-USDT"])
    [command] = commands_sent()
    assert isinstance(command, CancelAfter)
    assert command.due_ms == 0


def test_a_key_may_have_one_for_what_it_placed(ada: Trader) -> None:
    set_after(ada, 5_000, scope="key")
    set_after(ada, 5_000, scope="account")
    tags = [one.owner_tag for one in commands_sent() if isinstance(one, CancelAfter)]
    assert tags == [ApiKey.objects.get(key_id=ada.key).pk, 0]


def test_a_session_has_no_key_to_have_one_for(ada: Trader) -> None:
    ada.client.force_login(ada.user)
    response = ada.client.post(
        "/api/v1/orders/cancel-after", {"timeout_ms": 5_000, "scope": "key"}, "application/json"
    )
    body = decoded(response)
    assert (response.status_code, body["code"]) == (400, "request.field_invalid")
    assert body["errors"][0]["field"] == "scope"
    assert not CommandRow.objects.exists()


@pytest.mark.parametrize(
    ("status", "code", "field", "body"),
    [
        (400, "request.field_invalid", "timeout_ms", {"timeout_ms": 999}),
        (400, "request.field_invalid", "timeout_ms", {"timeout_ms": 1}),
        (400, "request.field_invalid", "timeout_ms", {"timeout_ms": -1}),
        (400, "request.field_invalid", "timeout_ms", {"timeout_ms": DAY_MS + 1}),
        (400, "request.field_invalid", "timeout_ms", {"timeout_ms": 10**30}),
        (400, "request.field_invalid", "timeout_ms", {"timeout_ms": "5000"}),
        (400, "request.field_invalid", "timeout_ms", {"timeout_ms": 5000.5}),
        (400, "request.field_invalid", "timeout_ms", {"timeout_ms": None}),
        (400, "request.field_invalid", "timeout_ms", {"timeout_ms": True}),
        (400, "request.field_missing", "timeout_ms", {}),
        (400, "request.field_unknown", "after_ms", {"timeout_ms": 5000, "after_ms": 1}),
        (400, "request.field_invalid", "scope", {"timeout_ms": 5000, "scope": "user"}),
        (404, "symbol.unknown", "symbol", {"timeout_ms": 5000, "symbol": "NO-PE"}),
    ],
)
def test_what_it_cannot_be_is_refused(
    ada: Trader, status: int, code: str, field: str, body: dict[str, object]
) -> None:
    response = ada.send("POST", "/orders/cancel-after", body)
    answer = decoded(response)
    assert (response.status_code, answer["code"]) == (status, code)
    assert answer["errors"][0]["field"] == field
    assert not CommandRow.objects.exists()


def test_a_key_that_may_only_read_sets_none(symbol: Symbol) -> None:
    reader = trader_make("reader", can_trade=False)
    response = set_after(reader, 5_000)
    assert (response.status_code, decoded(response)["code"]) == (403, "auth.scope_missing")
    assert not CommandRow.objects.exists()


def test_the_address_takes_nothing_else(ada: Trader) -> None:
    assert ada.get("/orders/cancel-after").status_code == 405
