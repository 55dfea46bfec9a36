"""Reservations of linked orders: one sum for a pair, funds that another order brings in.

**Pool.** Two orders of which one ends the other hold one sum, on whichever of the two rows: the
larger of their needs. With the first trade or the end of one of them the pool dissolves: the order
that trades, or the one that is left, gets the sum and keeps what it alone needs. Where one was
triggered, or traded, the engine ends the other one in the same command's events.

**Funded.** Orders that pay with what another one, their parent, brings in hold nothing at first.
Each fill of the parent pays into them, in the same fold, up to what they require (a pair: the
larger of the two): what the fill credited is reserved before anybody can spend it, so it is always
there. What they hold is therefore min(required, all that the parent's fills brought in). With its
last fill the parent has brought in at least what is required; they are ordinary orders then. An
order trades or is triggered only after that: the engine releases orders behind the fill. A parent
that ends otherwise ends them by events, and what was paid in is released.

**A pending amend freezes a release.** Intake reserved what the amend may need on top of what the
order held *then*. Were a part of that released because the order got other terms meanwhile
(decremented, repriced, alone now), the amend could need it again: its quantity is a total. So the
reservation of such an order, and of a pool with such an order, only pays for fills until the amend
is answered, and the answer brings it to exactly what is required. It holds at least required +
extra in between. This is for linked orders and those decremented or repriced meanwhile; `left_lots`
tells the answer what is open. All other pending amends keep reservation = required + extra.
"""

from collections.abc import Iterable, Mapping

from exchange.domain.units import SymbolUnits
from wallets.reservations import OrderReservation, SettlementChanges

POOL_SIZE = 2


class Links:
    """The pools and the funded orders among the reservations of one batch."""

    __slots__ = ("_changes", "_pools", "_units", "funded")

    def __init__(
        self,
        reservations: Iterable[OrderReservation],
        units: Mapping[int, SymbolUnits],
        changes: SettlementChanges,
    ) -> None:
        self._units = units
        self._changes = changes
        self._pools: dict[int, list[OrderReservation]] = {}
        # By the order that pays for them.
        self.funded: dict[int, list[OrderReservation]] = {}
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
        """End an order's links: its pool's other order gets its reservation."""
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
        """Reduce an order's or its pool's reservation to the need, unless an amend is pending."""
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
