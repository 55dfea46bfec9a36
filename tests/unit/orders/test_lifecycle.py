"""orders.lifecycle: final means final, and nothing moves off the table (O4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.enums import FINAL_STATUSES, LIVE_STATUSES, OrderStatus
from orders.lifecycle import NEXT, advance, is_final

STATUSES = st.sampled_from(OrderStatus)


@given(st.lists(STATUSES, max_size=12))
def test_every_walk_ends_in_a_final_status_or_could_go_on(walk: list[OrderStatus]) -> None:
    status = OrderStatus.NEW
    for target in walk:
        if target in NEXT[status]:
            status = advance(status, target)
            assert target is not OrderStatus.NEW, "nothing becomes new again"
        else:
            with pytest.raises(AssertionError):
                advance(status, target)
    assert is_final(status) is (status in FINAL_STATUSES)
    assert is_final(status) is not (status in LIVE_STATUSES)


def test_final_is_final() -> None:
    for status in FINAL_STATUSES:
        assert not NEXT[status]


def test_a_partly_filled_order_is_never_open_or_rejected_again() -> None:
    assert OrderStatus.OPEN not in NEXT[OrderStatus.PARTIALLY_FILLED]
    assert OrderStatus.REJECTED not in NEXT[OrderStatus.PARTIALLY_FILLED]
