"""Reservations of linked orders: one amount for a pair, and funds that a parent's fills bring in.

**Pool.** A pair is two orders of which one ends the other. They share one reservation: the larger
of the two amounts that each needs. Either of the two rows has it. The pool dissolves with the
first trade, or with the end of one order. Then the order that traded, or that still lives, gets
the reservation and keeps what it needs alone. The engine ends the other order in the same
command's events.

**Funded.** A funded order pays with what its parent's fills bring in. It reserves nothing at
first. Each fill of the parent adds to its reservation, in the same fold, up to what the order
requires (a pair requires the larger of its two amounts). What the fill credited is reserved before
anybody can spend it, so the reservation is always min(required, all that the parent's fills
brought in). With its last fill the parent has brought in at least what is required, and its
children become ordinary orders. A child trades or is triggered only after that: the engine
releases it behind the fill. A parent that ends otherwise ends its children by events, and what was
paid in is released.

**A pending amend freezes a release.** Intake reserved what the amend may need on top of the
reservation at that time. If settlement released a part of it meanwhile (the order was decremented
or repriced, or its pool dissolved), the amend could need that part again, because its quantity is
a total. So until the amend is answered the reservation of such an order, and of its pool, only
pays for fills. The answer brings it to exactly what is required; in between it is at least
required + extra. This holds for linked orders and for orders decremented or repriced meanwhile;
`left_lots` tells the answer how much is open. Every other order with a pending amend keeps
reservation = required + extra.
"""

from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field

from exchange.domain.units import SymbolUnits
from wallets.reservations import OrderReservation, SettlementChanges

POOL_SIZE = 2


@dataclass(slots=True, eq=False)
class Links:
    """The pools and the funded orders among the reservations of one batch."""

    reservations: InitVar[Iterable[OrderReservation]]
    _units: Mapping[int, SymbolUnits]
    _changes: SettlementChanges
    _pools: dict[int, list[OrderReservation]] = field(default_factory=dict, init=False)
    # By the order that pays for them.
    funded: dict[int, list[OrderReservation]] = field(default_factory=dict, init=False)

    def __post_init__(self, reservations: Iterable[OrderReservation]) -> None:
        for one in reservations:
            if one.left_lots is None:
                continue
            if one.pool_id is not None:
                self._pools.setdefault(one.pool_id, []).append(one)
            if one.funded_by is not None:
                self.funded.setdefault(one.funded_by, []).append(one)

    def fund(self, parent: OrderReservation, credit_atoms: int, *, is_filled: bool) -> None:
        """Reserve what a fill of `parent` brought in for the orders that it pays for."""
        children = self.funded.get(parent.order_id)
        if children is None:
            return
        assert all(child.account_id == parent.account_id for child in children)
        assert all(child.side != parent.side for child in children)
        missing = max(map(self._required, children)) - sum(child.atoms for child in children)
        assert missing >= 0
        atoms = min(missing, credit_atoms)
        if atoms:
            self._changes.reserve(children[0], atoms)
        if is_filled:
            assert atoms == missing, f"order {parent.order_id} brought in {missing - atoms} less"
            del self.funded[parent.order_id]
            for child in children:
                child.funded_by = None
                self._unlink(child)

    def stands_alone(self, reservation: OrderReservation) -> None:
        """Give a trading order its whole pool; the same command ends the pool's other order."""
        assert reservation.funded_by is None, (
            f"order {reservation.order_id} trades before it was paid for"
        )
        if reservation.pool_id is not None:
            other = self._dissolve(reservation)
            self._changes.move(other, reservation)
            self._unlink(other)
            self.trim(reservation)

    def ended(self, reservation: OrderReservation) -> None:
        """End an order's links: its parent funds it no longer, its pool's other order gets all."""
        if reservation.funded_by is not None:
            children = self.funded[reservation.funded_by]
            children.remove(reservation)
            if not children:
                del self.funded[reservation.funded_by]
        if reservation.pool_id is not None:
            other = self._dissolve(reservation)
            self._changes.move(reservation, other)
            self.trim(other)

    def trim(self, reservation: OrderReservation) -> None:
        """Reduce an order's or its pool's reservation to what it needs, unless an amend is pending.

        A funded order needs no more than its parent's fills have paid in so far.
        """
        members = (
            [reservation] if reservation.pool_id is None else self._members(reservation.pool_id)
        )
        if any(member.pending_amend_id is not None for member in members):
            return
        for member in members:
            if member is not reservation:
                self._changes.move(member, reservation)
        needed = max(map(self._required, members))
        if reservation.funded_by is not None:
            needed = min(needed, reservation.atoms)  # what its parent has brought in so far
        self._changes.unreserve(reservation, reservation.atoms - needed)
        self._unlink(reservation)

    def _required(self, reservation: OrderReservation) -> int:
        assert reservation.left_lots is not None
        return reservation.required(reservation.left_lots, self._units[reservation.symbol_id])

    def _members(self, pool_id: int) -> list[OrderReservation]:
        members = self._pools[pool_id]
        assert len(members) == POOL_SIZE, f"pool {pool_id} has {len(members)} orders"
        return members

    def _dissolve(self, reservation: OrderReservation) -> OrderReservation:
        """Dissolve the order's pool and return the other order of it."""
        assert reservation.pool_id is not None
        members = self._members(reservation.pool_id)
        del self._pools[reservation.pool_id]
        [other] = [member for member in members if member is not reservation]
        reservation.pool_id = other.pool_id = None
        return other

    def _unlink(self, reservation: OrderReservation) -> None:
        """Clear the open lots of an order that has neither a pool nor a parent any more."""
        self._changes.changed[reservation.order_id] = reservation
        if reservation.pool_id is None and reservation.funded_by is None:
            reservation.left_lots = None
