"""The resting orders of a book by account.

A book builds this index when a mass cancel, a cancel-after or a limit first needs it. Keeping the
index costs a tenth of the time of each resting order, so a book that never needs it has none.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any

from matching.engine.resting import RestingOrder
from matching.engine.segmented import SEGMENTS


@dataclass(slots=True, eq=False, repr=False)
class AccountIndex:
    """Orders by account: an account's only order, or a dict of its orders by id.

    Most accounts have one order, and a dict for each would take more memory than the orders.
    Accounts are spread over many small dicts (matching/engine/segmented.py).
    """

    orders: InitVar[Iterable[RestingOrder]]
    segments: tuple[dict[int, Any], ...] = field(init=False)

    def __post_init__(self, orders: Iterable[RestingOrder]) -> None:
        self.segments = tuple({} for _ in range(SEGMENTS))
        for order in orders:
            self.add(order)

    def __iter__(self) -> Iterator[int]:
        return (account_id for segment in self.segments for account_id in segment)

    def add(self, order: RestingOrder) -> None:
        """Add an order that rests from now on."""
        account_id = order.account_id
        segment = self.segments[account_id % SEGMENTS]
        owned = segment.get(account_id)
        if owned is None:
            segment[account_id] = order
        elif type(owned) is dict:
            owned[order.order_id] = order
        else:
            segment[account_id] = {owned.order_id: owned, order.order_id: order}

    def remove(self, order: RestingOrder) -> None:
        """Remove an order that leaves the book."""
        account_id = order.account_id
        segment = self.segments[account_id % SEGMENTS]
        owned = segment[account_id]
        if owned is not order and len(owned) > 1:
            del owned[order.order_id]
        else:
            del segment[account_id]

    def orders_of(self, account_id: int) -> list[RestingOrder]:
        """Return the resting orders of an account, in no particular order."""
        owned = self.segments[account_id % SEGMENTS].get(account_id)
        if owned is None:
            return []
        return list(owned.values()) if type(owned) is dict else [owned]

    def count_of(self, account_id: int) -> int:
        """Return how many orders of an account rest."""
        owned = self.segments[account_id % SEGMENTS].get(account_id)
        if owned is None:
            return 0
        return len(owned) if type(owned) is dict else 1

    def check(self, orders: Mapping[int, RestingOrder]) -> None:
        """Assert that the index has exactly these orders. O(orders)."""
        total = 0
        for account_id in self:
            owned = self.segments[account_id % SEGMENTS][account_id]
            assert owned, "no account without an order stays"
            for order in self.orders_of(account_id):
                assert order.account_id == account_id
                assert orders.get(order.order_id) is order
                total += 1
            assert type(owned) is not dict or all(k == o.order_id for k, o in owned.items())
        assert total == len(orders), "every order has its account"
