"""Invariants of advanced state, for tests and snapshots. O(everything in the advanced state)."""

from matching.engine.advanced import AdvancedState
from matching.engine.book import Book
from matching.engine.components import LAST, PENDING, TRIGGERED, WATCHING, is_trailing
from matching.engine.messages import OPEN, PHASE_CALL, PHASE_NONE
from matching.engine.states import AUCTIONS
from matching.engine.triggers import is_reached
from matching.engine.versions import RULES_MENDED


def advanced_check(book: Book, advanced: AdvancedState, sequence: int) -> None:
    """Assert every invariant of advanced state."""
    _check_waiting(book, advanced, sequence)
    _check_triggers(advanced)
    _check_lists(book, advanced)
    _check_expiries(book, advanced)
    _check_band(advanced)
    assert all(due_ms > 0 for due_ms in advanced.cancel_after.values())
    assert all(limit >= 0 for pair in advanced.limits.values() for limit in pair)
    assert advanced.at_open <= book.orders.keys()
    if book.rules >= RULES_MENDED and not advanced.has_work():
        assert not advanced.at_open or book.state in AUCTIONS, (
            "no market order outlives its auction"
        )
    assert advanced.trailing_live == sum(
        is_trailing(one.terms) for one in advanced.waiting.values()
    )
    assert not (advanced.is_last_fresh and book.state != OPEN)
    if book.state == OPEN and advanced.is_last_fresh and not advanced.has_work():
        for waiting in advanced.waiting.values():
            if waiting.stage == WATCHING and waiting.source == LAST:
                assert not is_reached(waiting, advanced.last_ticks), "what is reached is triggered"


def _check_waiting(book: Book, advanced: AdvancedState, sequence: int) -> None:
    assert not advanced.waiting.keys() & book.orders.keys(), "an order is in one place"
    assert sum(map(len, advanced.waiting_by_account.values())) == len(advanced.waiting)
    for account_id, owned in advanced.waiting_by_account.items():
        assert owned, "no account without a waiting order stays"
        for order_id, waiting in owned.items():
            assert advanced.waiting[order_id] is waiting
            assert waiting.command.order_id == order_id
            assert waiting.command.account_id == account_id
            assert 0 < waiting.priority <= sequence
    triggered = [
        one for one in advanced.triggered if advanced.waiting.get(one.command.order_id) is one
    ]
    assert len({id(one) for one in triggered}) == len(triggered), "no order is triggered twice"
    assert all(one.stage == TRIGGERED for one in triggered)
    assert (
        len(triggered)
        == advanced.triggered_live
        == sum(one.stage == TRIGGERED for one in advanced.waiting.values())
    )


def _check_triggers(advanced: AdvancedState) -> None:
    watched = [one.command.order_id for one in advanced.trailing_orders()]
    for (source, direction), ranked in advanced.triggers.items():
        assert ranked.entries == sorted(ranked.entries)
        for rank, priority, order_id in ranked.entries:
            waiting = advanced.waiting[order_id]
            assert (waiting.source, waiting.direction) == (source, direction)
            assert waiting.stop_ticks * direction == rank
            assert waiting.priority == priority
            watched.append(order_id)
    assert len(watched) == len(set(watched)), "no order has two triggers"
    assert advanced.best_live == sum(advanced.waiting[one].source != LAST for one in watched)
    for order_id, waiting in advanced.waiting.items():
        assert (waiting.stage == WATCHING) == (order_id in watched)
        assert is_trailing(waiting.terms) or waiting.stage == PENDING or not waiting.mark_ticks


def _check_lists(book: Book, advanced: AdvancedState) -> None:
    for order_id, order_list in advanced.list_of.items():
        ids = order_list.order_ids
        assert order_id in ids
        assert len(ids) > 1, "no list of one order stays"
        assert order_list.parent_id == 0 or order_list.parent_id == ids[0]
        assert all(advanced.list_of.get(one) is order_list for one in ids)
        assert order_id in book.orders or order_id in advanced.waiting, "a list's orders are open"
        is_child = order_list.parent_id not in (0, order_id)
        if is_child:
            assert advanced.waiting[order_id].stage == PENDING


def _check_expiries(book: Book, advanced: AdvancedState) -> None:
    assert (
        sorted((ms, 0, one) for one, ms in advanced.expiry_of.items()) == advanced.expiries.entries
    )
    open_ids = {order.order_id: order.expire_ms for order in book.orders.values()}
    open_ids |= {one: waiting.terms.expire_ms for one, waiting in advanced.waiting.items()}
    leaving = {order_id for order_id, _ in advanced.cancels}
    expected = {one: ms for one, ms in open_ids.items() if ms and one not in leaving}
    assert {one: ms for one, ms in advanced.expiry_of.items() if one not in leaving} == expected


def _check_band(advanced: AdvancedState) -> None:
    assert advanced.sum_ticks == sum(sample[1] for sample in advanced.samples)
    assert advanced.sum_trades == sum(sample[2] for sample in advanced.samples)
    band = advanced.band
    if band is None:
        assert not advanced.samples
        return
    assert band.band_ppm > 0
    assert band.reference_ticks >= 0
    assert PHASE_NONE <= band.phase <= PHASE_CALL
    assert (band.phase == PHASE_NONE) == (band.due_ms == 0)
