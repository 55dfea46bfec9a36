"""The life cycle of an order, as a table. A forbidden move is a bug, not bad input (O4)."""

from typing import Final

from exchange.domain.enums import FINAL_STATUSES, OrderStatus

_NEW = OrderStatus.NEW
_WAITING = OrderStatus.WAITING
_OPEN = OrderStatus.OPEN
_PART = OrderStatus.PARTIALLY_FILLED
_FILLED = OrderStatus.FILLED
_CANCELLED = OrderStatus.CANCELLED
_REJECTED = OrderStatus.REJECTED
_EXPIRED = OrderStatus.EXPIRED

NEXT: Final[dict[OrderStatus, frozenset[OrderStatus]]] = {
    _NEW: frozenset({_WAITING, _OPEN, _PART, _FILLED, _CANCELLED, _REJECTED, _EXPIRED}),
    # A trailing stop that begins to follow the price waits on; a trigger lets an order in.
    _WAITING: frozenset({_WAITING, _OPEN, _PART, _FILLED, _CANCELLED, _EXPIRED}),
    # An amend leaves an open order open.
    _OPEN: frozenset({_OPEN, _PART, _FILLED, _CANCELLED, _EXPIRED}),
    _PART: frozenset({_PART, _FILLED, _CANCELLED, _EXPIRED}),
    _FILLED: frozenset(),
    _CANCELLED: frozenset(),
    _REJECTED: frozenset(),
    _EXPIRED: frozenset(),
}
assert set(NEXT) == set(OrderStatus)  # a status without a row fails at import
assert {status for status, targets in NEXT.items() if not targets} == FINAL_STATUSES


def advance(current: OrderStatus, target: OrderStatus) -> OrderStatus:
    """Return `target`. Raises AssertionError for a move that is not in the table."""
    assert target in NEXT[current], f"{current} -> {target}"
    return target


def is_final(status: OrderStatus) -> bool:
    """Tell whether the status is final: nothing happens to such an order any more."""
    return not NEXT[status]
