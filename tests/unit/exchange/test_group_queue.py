"""The queue of groups: bounded, in order, and one turn of a loop is taken together."""

import asyncio
import threading

import pytest

from exchange.infra.group_queue import GroupQueue


def queue_of(groups_max: int = 100, items_max: int = 100) -> GroupQueue[int]:
    return GroupQueue(groups_max=groups_max, items_max=items_max)


def taken(queue: GroupQueue[int], items_max: int = 100) -> tuple[list[int], bool]:
    return queue.take(items_max, block=False, timeout_s=None)


def test_groups_are_taken_whole_and_in_order() -> None:
    queue = queue_of()
    for group in ([1, 2], [3], [4, 5, 6]):
        assert queue.put(group)
    assert queue.waiting == 6
    assert taken(queue, 3) == ([1, 2, 3], False)
    assert taken(queue, 1) == ([4, 5, 6], False), "a group is not torn"
    assert (queue.waiting, queue.empty(), taken(queue)) == (0, True, ([], False))


@pytest.mark.parametrize(("groups_max", "items_max"), [(2, 100), (100, 4)])
def test_what_has_no_room_is_not_taken(groups_max: int, items_max: int) -> None:
    queue = queue_of(groups_max, items_max)
    assert [queue.put([1, 1]), queue.put([2, 2]), queue.put([3, 3])] == [True, True, False]
    queue.put_anyway([4])
    assert taken(queue) == ([1, 1, 2, 2, 4], False)
    assert queue.put([5])


def test_the_end_is_told_after_what_was_queued_and_nothing_comes_after_it() -> None:
    queue = queue_of()
    assert queue.put([1])
    queue.close()
    assert not queue.put([2])
    assert taken(queue) == ([1], True)
    assert taken(queue) == ([], False), "it is told once"


def test_a_turn_of_the_loop_is_queued_together_when_it_ends() -> None:
    queue = queue_of(groups_max=3)

    async def turn() -> list[bool]:
        loop = asyncio.get_running_loop()
        put = [queue.put_in_turn([number], loop) for number in range(4)]
        assert (queue.empty(), queue.waiting) == (True, 3), "counted, but not yet to be taken"
        await asyncio.sleep(0)
        return put

    assert asyncio.run(turn()) == [True, True, True, False]
    assert taken(queue) == ([0, 1, 2], False)
    assert asyncio.run(turn()) == [True, True, True, False], "the next turn is like the first"


def test_a_close_within_a_turn_leaves_none_of_its_groups_behind() -> None:
    queue = queue_of()

    async def turn() -> None:
        loop = asyncio.get_running_loop()
        assert queue.put_in_turn([1], loop)
        queue.close()
        assert not queue.put_in_turn([2], loop)
        await asyncio.sleep(0)

    asyncio.run(turn())
    assert taken(queue) == ([1], True)


def test_a_taker_waits_for_the_first_group() -> None:
    queue = queue_of()
    found: list[tuple[list[int], bool]] = []
    taker = threading.Thread(
        target=lambda: found.append(queue.take(9, block=True, timeout_s=None)), daemon=True
    )
    taker.start()
    assert queue.put([1, 2])
    taker.join(60)
    assert found == [([1, 2], False)]
