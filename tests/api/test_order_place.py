"""POST /orders: what an accepted order is promised."""

from decimal import Decimal
from typing import Any

from exchange.infra.redis import commands_stream, redis_client
from matching.engine.messages import Place
from matching.state.codec import decode_command
from orders.models import Order
from tests.factories.trading import NOTHING_YET, Trader, decoded
from wallets.models import Reservation


def test_accepted_order_is_durable_reserved_and_on_its_stream(ada: Trader) -> None:
    response = ada.place(price="100", quantity="2", client_order_id="first")
    body = decoded(response)
    assert response.status_code == 201, body
    order = Order.objects.get(pk=body["id"])
    assert (order.status, order.price, order.quantity) == ("new", 100, 2)
    # L5: notional and the taker fee of 0.1 % on top.
    assert ada.balance("USDT") == (Decimal("99799.8"), Decimal("200.2"))
    assert Reservation.objects.get(pk=order.pk).amount == Decimal("200.2")
    entries: Any = redis_client().xrange(commands_stream(1))
    [(_, fields)] = entries
    command = decode_command(fields[b"c"])
    assert isinstance(command, Place)
    assert command.order_id == order.pk


def test_answer_of_place_equals_the_order_read_back(ada: Trader) -> None:
    placed = decoded(ada.place(side="sell", price="250.50", quantity="0.5"))
    read = decoded(ada.get(f"/orders/{placed['id']}"))
    assert read == {**placed, **NOTHING_YET}
    assert placed["price"] == "250.5"
    assert placed["left"] == "0.5"
