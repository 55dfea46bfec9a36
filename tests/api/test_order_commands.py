"""Cancel, cancel-all and amend over HTTP: what is reserved, refused and sent to the engine."""

from decimal import Decimal

import msgspec
import pytest

from exchange.infra.redis import commands_stream, redis_client, top_key
from exchange.models import Symbol
from exchange.selectors import catalogue_forget
from matching.engine.messages import BUY, Amend, Cancel, CancelAll, Command
from matching.state.codec import decode_command
from orders.models import Command as CommandRow
from orders.models import Order
from tests.factories.trading import Trader, decoded
from wallets.models import Reservation


def commands_sent() -> list[Command]:
    entries = redis_client().xrange(commands_stream(1))
    return [decode_command(fields[b"c"]) for _, fields in entries]


def placed(trader: Trader, **changes: str | None) -> str:
    order_id: str = decoded(trader.place(**changes))["id"]
    return order_id


def finish(order_id: str, status: str) -> None:
    """What the worker's results do to the row of an order that ended."""
    Order.objects.filter(pk=order_id).update(engine_seq=1, priority_seq=1, status=status)


def test_cancel_is_a_durable_command_after_its_order(ada: Trader) -> None:
    order_id = placed(ada)
    response = ada.cancel(order_id)
    assert response.status_code == 202
    answer = decoded(response)
    command_id = int(answer.pop("command_id"))
    assert answer == decoded(ada.get("/orders"))["items"][0]
    command = commands_sent()[-1]
    assert isinstance(command, Cancel)
    assert command.order_id == int(order_id)
    assert command.command_id == command_id
    row = CommandRow.objects.get(pk=command_id)
    assert (row.kind, row.account_id, row.engine_seq) == ("cancel", ada.account_id, None)
    assert decode_command(bytes(row.payload)) == command


def test_reservation_stays_until_the_engine_has_cancelled(ada: Trader) -> None:
    order_id = placed(ada)
    ada.cancel(order_id)
    assert ada.balance("USDT")[1] == Decimal("100.1")


@pytest.mark.parametrize("order_id", ["1", "0", "9" * 19, "9" * 40, "abc", "-1", "1.0"])
def test_unknown_ids_are_not_found(ada: Trader, order_id: str) -> None:
    answers = [
        ada.get(f"/orders/{order_id}"),
        ada.cancel(order_id),
        ada.amend(order_id, price="99"),
    ]
    for response in answers:
        assert (response.status_code, decoded(response)["code"]) == (404, "order.not_found")
    assert not CommandRow.objects.exists()


def test_foreign_orders_look_exactly_like_unknown_ones(ada: Trader, boris: Trader) -> None:
    foreign, unknown = placed(ada), "12345"
    for act in (Trader.cancel, lambda who, one: who.amend(one, price="99")):
        answers = [decoded(act(boris, one)) for one in (foreign, unknown)]
        for answer in answers:
            del answer["instance"]
        assert answers[0] == answers[1]
    assert not CommandRow.objects.exists()


@pytest.mark.parametrize("status", ["filled", "cancelled", "rejected", "expired"])
def test_final_orders_take_no_commands(ada: Trader, status: str) -> None:
    order_id = placed(ada)
    Order.objects.filter(pk=order_id).update(filled=1)
    finish(order_id, status)
    for response in (ada.cancel(order_id), ada.amend(order_id, price="99")):
        body = decoded(response)
        assert (response.status_code, body["code"]) == (409, "order.not_open")
        assert body["params"] == {"order_status": status}
    assert not CommandRow.objects.exists()


def test_cancel_all_names_where_it_cancels(ada: Trader, boris: Trader) -> None:
    placed(ada)
    response = ada.send("DELETE", "/orders?side=buy")
    command = commands_sent()[-1]
    assert isinstance(command, CancelAll)
    assert (command.account_id, command.side) == (ada.account_id, BUY)
    sent = [{"symbol": "BTC-USDT", "command_id": str(command.command_id)}]
    answer = {"symbols": ["BTC-USDT"], "commands": sent}
    assert (response.status_code, decoded(response)) == (202, answer)
    assert decoded(boris.send("DELETE", "/orders")) == {"symbols": [], "commands": []}
    named = decoded(boris.send("DELETE", "/orders?symbol=BTC-USDT"))
    assert named["symbols"] == ["BTC-USDT"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("symbol=NO-PE", 404, "symbol.unknown"),
        ("side=up", 400, "request.field_invalid"),
        ("symbols=BTC-USDT", 400, "request.field_unknown"),
    ],
)
def test_cancel_all_refuses_what_it_does_not_know(
    ada: Trader, query: str, status: int, code: str
) -> None:
    response = ada.send("DELETE", f"/orders?{query}")
    assert (response.status_code, decoded(response)["code"]) == (status, code)


def test_amend_reserves_what_it_may_need_before_the_engine_sees_it(ada: Trader) -> None:
    order_id = placed(ada, price="100", quantity="1")
    response = ada.amend(order_id, price="110", quantity="2")
    assert response.status_code == 202
    command = commands_sent()[-1]
    assert isinstance(command, Amend)
    assert (command.price_ticks, command.quantity_lots) == (11_000, 20_000)
    available, reserved = ada.balance("USDT")
    assert reserved >= Decimal("220.22")
    assert available + reserved == 100_000
    reservation = Reservation.objects.get(pk=order_id)
    assert (reservation.amount, reservation.pending_amend_id) == (reserved, command.command_id)
    assert CommandRow.objects.get().reserved_extra == reserved - Decimal("100.1")


def test_a_smaller_amend_reserves_nothing(ada: Trader) -> None:
    order_id = placed(ada, price="100", quantity="2")
    assert ada.amend(order_id, quantity="1", keep_priority=True).status_code == 202
    assert ada.balance("USDT")[1] == Decimal("200.2")


@pytest.mark.parametrize(
    ("status", "code", "terms"),
    [
        (422, "order.amend_empty", {}),
        (422, "order.amend_empty", {"keep_priority": True}),
        (422, "order.priority_needs_reduction", {"price": "99", "keep_priority": True}),
        (422, "order.priority_needs_reduction", {"quantity": "3", "keep_priority": True}),
        (422, "order.priority_needs_reduction", {"quantity": "2", "keep_priority": True}),
        (422, "order.price_off_tick", {"price": "99.001"}),
        (422, "order.quantity_off_lot", {"quantity": "0.00001"}),
        (422, "order.quantity_above_max", {"quantity": "1001"}),
        (422, "order.notional_below_min", {"quantity": "0.0001"}),
        (422, "funds.insufficient", {"price": "60000"}),
        (400, "request.number_not_string", {"price": 99}),
        (400, "request.field_unknown", {"side": "sell"}),
    ],
)
def test_refused_amend_changes_nothing(
    ada: Trader, status: int, code: str, terms: dict[str, object]
) -> None:
    order_id = placed(ada, quantity="2")
    before = ada.balance("USDT")
    response = ada.amend(order_id, **terms)
    assert (response.status_code, decoded(response)["code"]) == (status, code)
    assert ada.balance("USDT") == before
    assert not CommandRow.objects.exists()
    assert Reservation.objects.get().pending_amend_id is None


@pytest.mark.parametrize("size", [{"quantity": "1"}, {"quantity": None, "quote_amount": "100"}])
def test_a_market_order_that_the_engine_has_not_seen_yet_takes_no_amend(
    ada: Trader, size: dict[str, str | None]
) -> None:
    redis_client().set(top_key("BTC-USDT"), msgspec.msgpack.encode([0, 10_000, 10_000, 1]))
    order_id = placed(ada, type="market", price=None, **size)
    response = ada.amend(order_id, quantity="2")
    assert (response.status_code, decoded(response)["code"]) == (409, "order.not_open")
    assert not CommandRow.objects.exists()


def test_amend_below_what_is_filled(ada: Trader) -> None:
    order_id = placed(ada, quantity="2")
    Order.objects.filter(pk=order_id).update(filled=1)
    finish(order_id, "partially_filled")
    response = ada.amend(order_id, quantity="1")
    assert decoded(response)["code"] == "order.amend_below_filled"


def test_second_amend_waits_for_the_first(ada: Trader) -> None:
    order_id = placed(ada)
    assert ada.amend(order_id, price="101").status_code == 202
    before = ada.balance("USDT")
    response = ada.amend(order_id, price="102")
    assert (response.status_code, decoded(response)["code"]) == (409, "order.amend_pending")
    assert ada.balance("USDT") == before


def filled_in_part(trader: Trader, filled: str, **changes: str | None) -> str:
    """An order of 1 at 100 of which so much has traded."""
    order_id = placed(trader, **changes)
    Order.objects.filter(pk=order_id).update(
        engine_seq=1, priority_seq=1, status="partially_filled", filled=Decimal(filled)
    )
    return order_id


def test_an_amend_does_not_leave_open_less_than_a_new_order_may_be(
    ada: Trader, symbol: Symbol
) -> None:
    """The minimum of a smaller quantity counts for what it leaves open; here 0.01 and 1 USDT."""
    Symbol.objects.filter(pk=symbol.pk).update(quantity_min=Decimal("0.01"))
    catalogue_forget()
    order_id = filled_in_part(ada, "0.5")
    for quantity, code, minimum in (
        ("0.5099", "order.quantity_below_min", "0.51"),
        ("0.0099", "order.quantity_below_min", "0.01"),
        ("0.5", "order.amend_below_filled", None),
    ):
        body = decoded(ada.amend(order_id, quantity=quantity))
        assert (body["code"], body["params"].get("minimum")) == (code, minimum)
    assert ada.amend(order_id, quantity="0.51").status_code == 202


def test_nor_less_in_value(ada: Trader, symbol: Symbol) -> None:
    order_id = filled_in_part(ada, "0.5")
    response = ada.amend(order_id, quantity="0.5099", keep_priority=True)
    assert decoded(response)["code"] == "order.notional_below_min"
    assert not Reservation.objects.filter(pending_amend_id__isnull=False).exists()
    assert ada.amend(order_id, quantity="0.51", keep_priority=True).status_code == 202


def test_a_rest_that_fills_made_small_may_get_another_price(ada: Trader) -> None:
    order_id = filled_in_part(ada, "0.9999")
    assert ada.amend(order_id, price="101").status_code == 202


def test_an_iceberg_shows_at_most_what_it_is(ada: Trader) -> None:
    order_id = placed(ada, display_quantity="0.5")
    Order.objects.filter(pk=order_id).update(quantity=Decimal("0.3"))  # kept its priority
    assert decoded(ada.get(f"/orders/{order_id}"))["display_quantity"] == "0.3"
    assert decoded(ada.get("/orders"))["items"][0]["display_quantity"] == "0.3"
