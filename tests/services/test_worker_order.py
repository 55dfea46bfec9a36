"""The order inside a batch: as it arrived, but no command before the orders it is about."""

from matching.causal import in_causal_order, refusals_of
from matching.messages import Cancel, CancelAll, Command, Place, RefuseFaulty


def place(order_id: int, account_id: int = 1, symbol_id: int = 1) -> Place:
    return Place(order_id, 0, symbol_id, order_id, account_id, 0, 100, 5)


def cancel(command_id: int, order_id: int) -> Cancel:
    return Cancel(command_id, 0, 1, order_id)


def cancel_all(command_id: int, account_id: int = 1) -> CancelAll:
    return CancelAll(command_id, 0, 1, account_id)


def ids(commands: list[Command]) -> list[int]:
    return [command.command_id for command in commands]


def test_orders_keep_the_order_of_arrival_whatever_their_ids() -> None:
    assert ids(in_causal_order([place(3), place(1), place(2)], [])) == [3, 1, 2]


def test_a_cancel_waits_for_its_order() -> None:
    batch = [place(3), cancel(9, 2), place(1), place(2)]
    assert ids(in_causal_order(batch, [])) == [3, 2, 9, 1]


def test_an_order_that_did_not_arrive_comes_right_before_its_cancel() -> None:
    assert ids(in_causal_order([place(3), cancel(9, 2)], [place(2)])) == [3, 2, 9]


def test_a_cancel_of_an_order_that_is_in_the_book_stays_where_it_is() -> None:
    assert ids(in_causal_order([cancel(9, 2), place(3)], [])) == [9, 3]


def test_a_cancel_all_waits_for_its_accounts_earlier_orders_alone() -> None:
    batch = [cancel_all(9), place(4), place(2, account_id=2), place(10), place(3, symbol_id=2)]
    assert ids(in_causal_order(batch, [place(1)])) == [1, 4, 9, 2, 10, 3]


def test_an_order_that_is_refused_still_comes_before_its_cancel() -> None:
    refused = RefuseFaulty(2, 0, 1, 2, True)
    assert ids(in_causal_order([cancel(9, 2), refused], [])) == [2, 9]


def test_the_stand_in_of_a_faulty_command_keeps_what_it_was_about() -> None:
    assert refusals_of(place(7)) == [RefuseFaulty(7, 0, 1, 7, True)]
    assert refusals_of(cancel(9, 7)) == [RefuseFaulty(9, 0, 1, 7, False)]
    assert refusals_of(cancel_all(9)) == [RefuseFaulty(9, 0, 1, 0, False)]
