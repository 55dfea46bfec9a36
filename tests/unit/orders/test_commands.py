"""The builders of commands: a command's time is in its id, and nothing to say is said as None."""

import pytest

from exchange.domain.ids import id_floor
from matching.engine import messages
from matching.engine.messages import Place
from orders.commands.build import (
    amend_command,
    cancel_after_command,
    cancel_all_command,
    place_command,
    place_list_command,
    set_band_command,
    set_feature_command,
    set_limits_command,
)

TIME_MS = 1_800_000_000_000
ID = id_floor(TIME_MS)


def place(order_id: int) -> Place:
    return place_command(
        order_id=order_id,
        symbol_id=1,
        account_id=2,
        side=messages.BUY,
        price_ticks=5,
        quantity_lots=6,
    )


def test_a_commands_time_is_the_time_in_its_id() -> None:
    for command in (
        place_list_command(
            list_id=ID, symbol_id=1, kind=messages.OCO, orders=[place(ID + 1), place(ID + 2)]
        ),
        cancel_after_command(command_id=ID, symbol_id=1, account_id=2, due_ms=3),
        cancel_all_command(command_id=ID, symbol_id=1, account_id=2, owner_tag=3),
        set_feature_command(command_id=ID, symbol_id=1, feature=1, is_on=True),
        set_limits_command(
            command_id=ID, symbol_id=1, account_id=2, open_orders_max=3, stop_orders_max=4
        ),
        set_band_command(
            command_id=ID, symbol_id=1, band_ppm=2, move_ppm=3, move_after_ms=4, call_ms=5
        ),
        amend_command(command_id=ID, symbol_id=1, order_id=2, stop_ticks=3),
    ):
        assert (command.command_id, command.time_ms, command.symbol_id) == (ID, TIME_MS, 1)


@pytest.mark.parametrize("order_ids", [(ID, ID + 1), (ID + 2, ID + 1), (ID + 1, ID + 1)])
def test_a_lists_id_comes_before_those_of_its_orders(order_ids: tuple[int, int]) -> None:
    with pytest.raises(AssertionError):
        place_list_command(
            list_id=ID, symbol_id=1, kind=messages.OCO, orders=[place(one) for one in order_ids]
        )


def test_an_amend_changes_something() -> None:
    with pytest.raises(AssertionError):
        amend_command(command_id=ID, symbol_id=1, order_id=2)
