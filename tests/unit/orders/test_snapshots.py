"""orders.recovery.snapshots: how far apart snapshots are."""

from matching.engine.core import Engine
from matching.engine.messages import SELL
from matching.engine.resting import RestingOrder
from orders.recovery.snapshots import SNAPSHOT_EVERY_COMMANDS, commands_between


def test_snapshots_are_further_apart_where_open_orders_are_many() -> None:
    """They take as long as there are open orders: each command's share of that stays the same."""
    engine = Engine()
    book = engine.book(1)
    assert commands_between(engine) == SNAPSHOT_EVERY_COMMANDS
    for number in range(1, 10 * SNAPSHOT_EVERY_COMMANDS + 1):
        book.add(RestingOrder(number, 1, SELL, 100 + number % 10, 1, 1, number, False, 0, 0, 0))
    assert commands_between(engine) == 2 * SNAPSHOT_EVERY_COMMANDS
    for order in list(book.orders.values()):
        book.remove(order)  # their links are cycles
