"""An order in the terms of the rules."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from matching.engine import messages as m


class Where(Enum):
    """Where an order is in its life."""

    COMING = "accepted, triggered or released: it comes in when its turn comes"
    BOOK = "rests in the book, or gathered for an auction"
    WATCHING = "waits outside the book for its trigger (12.1)"
    PENDING = "waits outside the book for its list (19.7)"
    ENDED = "filled, cancelled or refused"


@dataclass(eq=False)
class Order:
    """An order: quantities in lots, prices in ticks; `budget` is the quote amount left to spend."""

    id: int
    account: int
    group: int
    tag: int
    side: int
    price: int
    total: int
    left: int
    tif: int
    post_only: bool
    is_market: bool
    budget: int
    mode: int
    terms: m.Terms
    is_by_quote: bool
    where: Where = Where.COMING
    sequence: int = 0  # the command that gave its age (12.7: an amend makes it the youngest)
    place: int = 0  # increases with each place taken in a queue
    place_sequence: int = 0  # the command by which it took that place
    shown: int = 0  # lots that the public book shows (14.1)
    stop: int = 0  # present stop price; 0: a trailing stop that is not active yet
    best_seen: int = 0  # best price that a trailing stop has followed (13.1)
    is_waiting_over: bool = False  # triggered or released: its entry gives an event
    triggered_by: int = 0  # the price that triggered it; 0 when its list released it
    sibling: Self | None = None  # the other order of an OCO (19.2)
    parent: Self | None = None  # the order whose fill releases this one (19.7)
    children: list[Self] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.where is not Where.ENDED

    @property
    def is_waiting(self) -> bool:
        """Whether the order waits outside the book for a trigger or its parent (12.1, 19.7)."""
        return self.where in (Where.WATCHING, Where.PENDING)

    @property
    def filled(self) -> int:
        return self.total - self.left

    @property
    def age(self) -> tuple[int, int]:
        """The key of age: a smaller key is older; orders of one command are ranked by id."""
        return self.sequence, self.id

    def accepts(self, price: int) -> bool:
        """Tell whether the order may trade at this price (24.5)."""
        return price <= self.price if self.side == m.BUY else price >= self.price

    def is_own_of(self, other: Self) -> bool:
        """Tell whether both orders are of one account or one account group (9.1, 17.5)."""
        return self.account == other.account or (self.group != 0 and self.group == other.group)


def order_of(place: m.Place, sequence: int) -> Order:
    """Return the order that a command places."""
    terms = place.terms or m.Terms()
    return Order(
        id=place.order_id,
        account=place.account_id,
        group=place.group_id,
        tag=place.owner_tag,
        side=place.side,
        price=place.price_ticks,
        total=place.quantity_lots,
        left=place.quantity_lots,
        tif=place.time_in_force,
        post_only=place.post_only,
        is_market=place.market,
        budget=place.budget_ticklots,
        mode=place.self_trade,
        terms=m.Terms(*(getattr(terms, name) for name in terms.__struct_fields__)),
        is_by_quote=place.budget_ticklots > 0,
        sequence=sequence,
        stop=terms.stop_ticks,
    )
