"""The order inside a worker's batch: as it arrived, no command before its orders."""

from matching.engine.messages import (
    ALL_ACCOUNTS,
    OTO,
    Cancel,
    CancelAfter,
    CancelAll,
    Command,
    Place,
    PlaceList,
    RefuseFaulty,
)
from matching.worker.batch_order import in_dependency_order, refusals_of


def place(order_id: int, account_id: int = 1, symbol_id: int = 1) -> Place:
    return Place(order_id, 0, symbol_id, order_id, account_id, 0, 100, 5)


def cancel(command_id: int, order_id: int) -> Cancel:
    return Cancel(command_id, 0, 1, order_id)


def cancel_all(command_id: int, account_id: int = 1, owner_tag: int = 0) -> CancelAll:
    return CancelAll(command_id, 0, 1, account_id, owner_tag=owner_tag)


def order_list(list_id: int, *order_ids: int) -> PlaceList:
    return PlaceList(list_id, 0, 1, list_id, OTO, [place(one) for one in order_ids])


def cancel_after(command_id: int, due_ms: int = 5, owner_tag: int = 0) -> CancelAfter:
    return CancelAfter(command_id, 0, 1, 1, due_ms, owner_tag)


def tagged(order_id: int, owner_tag: int) -> Place:
    order = place(order_id)
    order.owner_tag = owner_tag
    return order


def ids(commands: list[Command]) -> list[int]:
    return [command.command_id for command in commands]


def test_orders_keep_the_order_of_arrival_whatever_their_ids() -> None:
    assert ids(in_dependency_order([place(3), place(1), place(2)], [])) == [3, 1, 2]


def test_a_cancel_waits_for_its_order() -> None:
    batch = [place(3), cancel(9, 2), place(1), place(2)]
    assert ids(in_dependency_order(batch, [])) == [3, 2, 9, 1]


def test_an_order_that_did_not_arrive_comes_right_before_its_cancel() -> None:
    assert ids(in_dependency_order([place(3), cancel(9, 2)], [place(2)])) == [3, 2, 9]


def test_a_cancel_of_an_order_that_is_in_the_book_stays_where_it_is() -> None:
    assert ids(in_dependency_order([cancel(9, 2), place(3)], [])) == [9, 3]


def test_a_cancel_all_waits_for_its_accounts_earlier_orders_alone() -> None:
    batch = [cancel_all(9), place(4), place(2, account_id=2), place(10), place(3, symbol_id=2)]
    assert ids(in_dependency_order(batch, [place(1)])) == [1, 4, 9, 2, 10, 3]


def test_a_cancel_waits_for_the_list_of_its_order() -> None:
    assert ids(in_dependency_order([cancel(9, 4), place(1), order_list(2, 3, 4)], [])) == [2, 9, 1]


def test_a_list_that_did_not_arrive_comes_once_before_the_cancels_of_its_orders() -> None:
    batch = [place(1), cancel(9, 3), cancel(10, 4)]
    assert ids(in_dependency_order(batch, [order_list(2, 3, 4)])) == [1, 2, 9, 10]


def test_a_cancel_all_waits_for_its_accounts_lists() -> None:
    batch = [cancel_all(9), order_list(2, 3, 4), order_list(10, 11, 12)]
    assert ids(in_dependency_order(batch, [])) == [2, 9, 10]


def test_the_houses_cancel_all_waits_for_earlier_orders_of_everybody() -> None:
    batch = [cancel_all(9, ALL_ACCOUNTS), place(4), place(2, account_id=2), place(3, symbol_id=2)]
    assert ids(in_dependency_order(batch, [place(1, account_id=7)])) == [1, 2, 4, 9, 3]


def test_a_cancel_all_of_one_key_waits_for_that_keys_orders_alone() -> None:
    batch = [cancel_all(9, owner_tag=5), tagged(1, 5), tagged(2, 6), place(3)]
    assert ids(in_dependency_order(batch, [])) == [1, 9, 2, 3]


def test_a_cancel_after_waits_for_its_accounts_earlier_orders() -> None:
    batch = [cancel_after(9), place(1), place(2, account_id=2), place(10)]
    assert ids(in_dependency_order(batch, [])) == [1, 9, 2, 10]
    assert ids(in_dependency_order([cancel_after(9, due_ms=0), place(1)], [])) == [9, 1]


def test_the_cancel_after_that_was_set_last_is_the_last_one() -> None:
    assert ids(in_dependency_order([cancel_after(9, 0), cancel_after(8)], [cancel_after(7)])) == [
        7,
        8,
        9,
    ]
    tags = [cancel_after(9, owner_tag=1), cancel_after(8, owner_tag=2)]
    assert ids(in_dependency_order(tags, [])) == [9, 8], "each key has its own"


def test_an_order_that_is_refused_still_comes_before_its_cancel() -> None:
    refused = RefuseFaulty(2, 0, 1, 2, True)
    assert ids(in_dependency_order([cancel(9, 2), refused], [])) == [2, 9]


def test_the_stand_in_of_a_faulty_command_keeps_what_it_was_about() -> None:
    assert refusals_of(place(7)) == [RefuseFaulty(7, 0, 1, 7, True)]
    assert refusals_of(cancel(9, 7)) == [RefuseFaulty(9, 0, 1, 7, False)]
    assert refusals_of(cancel_all(9)) == [RefuseFaulty(9, 0, 1, 0, False)]


def test_the_stand_ins_of_a_faulty_list_are_refusals_of_its_orders() -> None:
    assert refusals_of(order_list(2, 3, 4)) == [
        RefuseFaulty(3, 0, 1, 3, True),
        RefuseFaulty(4, 0, 1, 4, True),
    ]
