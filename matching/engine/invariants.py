"""What always holds of a symbol's desk. For tests and snapshots: O(all that the desk holds)."""

from matching.engine.advanced import Desk
from matching.engine.book import Book
from matching.engine.components import ELECTED, HELD, LAST, WATCHING, is_trailing
from matching.engine.entry import AUCTIONS
from matching.engine.messages import OPEN, PHASE_CALL, PHASE_NONE
from matching.engine.triggers import is_reached
from matching.engine.versions import RULES_MENDED


def desk_check(book: Book, desk: Desk, sequence: int) -> None:
    """Assert every invariant of a desk."""
    _check_waiting(book, desk, sequence)
    _check_triggers(desk)
    _check_lists(book, desk)
    _check_expiries(book, desk)
    _check_band(desk)
    assert all(due_ms > 0 for due_ms in desk.timers.values())
    assert all(limit >= 0 for pair in desk.limits.values() for limit in pair)
    assert desk.at_open <= book.orders.keys()
    if book.rules >= RULES_MENDED and not desk.has_work():
        assert not desk.at_open or book.state in AUCTIONS, "no market order outlives its auction"
    assert desk.trailing_live == sum(is_trailing(one.terms) for one in desk.waiting.values())
    assert not (desk.is_last_fresh and book.state != OPEN)
    if book.state == OPEN and desk.is_last_fresh and not desk.has_work():
        for waiting in desk.waiting.values():
            if waiting.stage == WATCHING and waiting.source == LAST:
                assert not is_reached(waiting, desk.last_ticks), "what is reached is elected"


def _check_waiting(book: Book, desk: Desk, sequence: int) -> None:
    assert not desk.waiting.keys() & book.orders.keys(), "an order is in one place"
    assert sum(map(len, desk.waiting_by_account.values())) == len(desk.waiting)
    for account_id, owned in desk.waiting_by_account.items():
        assert owned, "no account without a waiting order stays"
        for order_id, waiting in owned.items():
            assert desk.waiting[order_id] is waiting
            assert waiting.command.order_id == order_id
            assert waiting.command.account_id == account_id
            assert 0 < waiting.priority <= sequence
    elected = [one for one in desk.elected if desk.waiting.get(one.command.order_id) is one]
    assert len({id(one) for one in elected}) == len(elected), "no order is elected twice"
    assert all(one.stage == ELECTED for one in elected)
    assert (
        len(elected)
        == desk.elected_live
        == sum(one.stage == ELECTED for one in desk.waiting.values())
    )


def _check_triggers(desk: Desk) -> None:
    watched = [one.command.order_id for one in desk.trailing_orders()]
    for (source, direction), ranked in desk.triggers.items():
        assert ranked.entries == sorted(ranked.entries)
        for rank, priority, order_id in ranked.entries:
            waiting = desk.waiting[order_id]
            assert (waiting.source, waiting.direction) == (source, direction)
            assert waiting.stop_ticks * direction == rank
            assert waiting.priority == priority
            watched.append(order_id)
    assert len(watched) == len(set(watched)), "no order has two triggers"
    for order_id, waiting in desk.waiting.items():
        assert (waiting.stage == WATCHING) == (order_id in watched)
        assert is_trailing(waiting.terms) or waiting.stage == HELD or not waiting.mark_ticks


def _check_lists(book: Book, desk: Desk) -> None:
    for order_id, order_list in desk.list_of.items():
        ids = order_list.order_ids
        assert order_id in ids
        assert len(ids) > 1, "no list of one order stays"
        assert order_list.parent_id == 0 or order_list.parent_id == ids[0]
        assert all(desk.list_of.get(one) is order_list for one in ids)
        assert order_id in book.orders or order_id in desk.waiting, "a list's orders are open"
        is_child = order_list.parent_id not in (0, order_id)
        if is_child:
            assert desk.waiting[order_id].stage == HELD


def _check_expiries(book: Book, desk: Desk) -> None:
    assert sorted((ms, 0, one) for one, ms in desk.expiry_of.items()) == desk.expiries.entries
    open_ids = {order.order_id: order.expire_ms for order in book.orders.values()}
    open_ids |= {one: waiting.terms.expire_ms for one, waiting in desk.waiting.items()}
    leaving = {order_id for order_id, _ in desk.cancels}
    expected = {one: ms for one, ms in open_ids.items() if ms and one not in leaving}
    assert {one: ms for one, ms in desk.expiry_of.items() if one not in leaving} == expected


def _check_band(desk: Desk) -> None:
    assert desk.sum_ticks == sum(sample[1] for sample in desk.samples)
    assert desk.sum_trades == sum(sample[2] for sample in desk.samples)
    band = desk.band
    if band is None:
        assert not desk.samples
        return
    assert band.band_ppm > 0
    assert band.reference_ticks >= 0
    assert PHASE_NONE <= band.phase <= PHASE_CALL
    assert (band.phase == PHASE_NONE) == (band.due_ms == 0)
