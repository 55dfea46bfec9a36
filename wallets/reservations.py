"""Reservations of live orders, and the changes that one settlement makes to money rows.

Amounts are in atoms and never clamped. A reservation that would go below zero is a bug: an
assertion fails here, before anything is written.
"""

from dataclasses import dataclass, field

from exchange.domain.units import SymbolUnits
from wallets.fees import reservation_atoms
from wallets.postings import BalanceChange, BalanceKey, Posting


@dataclass(slots=True, eq=False, kw_only=True)
class OrderReservation:
    """The reservation of one live order, in atoms of the asset that it pays with, and its terms.

    `left_lots` is the order's open quantity. Settlement keeps it only for orders whose later events
    do not tell it; for all other orders it is None. It is kept for:
    - the two orders of a pool (`pool_id`), which share one reservation, on either row;
    - a funded order, until its parent (`funded_by`) is filled;
    - an order whose terms changed while an amend of it was on its way (wallets/linked.py).
    """

    order_id: int
    account_id: int
    asset_id: int
    symbol_id: int
    side: int
    price_ticks: int
    atoms: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    accrued: int = 0
    pending_amend_id: int | None = None
    pool_id: int | None = None
    funded_by: int | None = None
    left_lots: int | None = None
    was_plain: bool = field(init=False)
    has_ended: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.was_plain = self.left_lots is None
        assert not self.was_plain or (self.pool_id is None and self.funded_by is None), (
            self.order_id
        )

    @property
    def is_plain(self) -> bool:
        """Whether the columns of linked orders were and are unset, so that no write is needed."""
        return self.was_plain and self.left_lots is None

    def required(self, left_lots: int, units: SymbolUnits) -> int:
        """Return the atoms that the order requires for `left_lots` on its present terms."""
        return reservation_atoms(
            self.side, left_lots, self.price_ticks, units, self.accrued, self.taker_fee_ppm
        )


@dataclass(slots=True, eq=False)
class SettlementChanges:
    """The changes of one batch: journals to post, reservations to rewrite, balances to add to."""

    journals: list[tuple[int, list[Posting]]] = field(default_factory=list)
    changed: dict[int, OrderReservation] = field(default_factory=dict)
    _balances: dict[BalanceKey, list[int]] = field(default_factory=dict, init=False)

    def post(self, journal_id: int, postings: list[Posting]) -> None:
        """Add a journal; its postings reach the balances as available funds."""
        self.journals.append((journal_id, postings))
        for account_id, asset_id, atoms, _ in postings:
            self._balance(account_id, asset_id)[0] += atoms

    def unreserve(self, reservation: OrderReservation, atoms: int) -> None:
        """Turn reserved atoms into available ones; postings then take from them what was paid."""
        assert atoms >= 0, f"order {reservation.order_id} would reserve {-atoms} atoms more"
        assert reservation.atoms >= atoms, (
            f"order {reservation.order_id} has {reservation.atoms} reserved, not {atoms} atoms"
        )
        reservation.atoms -= atoms
        self.changed[reservation.order_id] = reservation
        if atoms:
            balance = self._balance(reservation.account_id, reservation.asset_id)
            balance[0] += atoms
            balance[1] -= atoms

    def reserve(self, reservation: OrderReservation, atoms: int) -> None:
        """Reserve atoms for an order out of those that this batch made available (L4)."""
        assert atoms > 0
        balance = self._balance(reservation.account_id, reservation.asset_id)
        assert balance[0] >= atoms, (
            f"order {reservation.order_id} would be funded with atoms that the batch did not credit"
        )
        balance[0] -= atoms
        balance[1] += atoms
        reservation.atoms += atoms
        self.changed[reservation.order_id] = reservation

    def move(self, giver: OrderReservation, taker: OrderReservation) -> None:
        """Move all reserved atoms from `giver` to `taker`, of the same account and asset."""
        assert (giver.account_id, giver.asset_id) == (taker.account_id, taker.asset_id)
        taker.atoms += giver.atoms
        giver.atoms = 0
        self.changed[giver.order_id] = giver
        self.changed[taker.order_id] = taker

    def balances(self) -> dict[BalanceKey, BalanceChange]:
        """Return the sum of changes per account and asset, without zeros."""
        return {
            key: BalanceChange(*change) for key, change in self._balances.items() if any(change)
        }

    def ended(self) -> list[int]:
        """Return the ids of changed reservations whose orders have ended, ascending."""
        return sorted(
            reservation.order_id for reservation in self.changed.values() if reservation.has_ended
        )

    def kept(self) -> list[OrderReservation]:
        """Return the changed reservations whose orders are live, by order id."""
        return [
            reservation
            for _, reservation in sorted(self.changed.items())
            if not reservation.has_ended
        ]

    def _balance(self, account_id: int, asset_id: int) -> list[int]:
        key = (account_id, asset_id)
        balance = self._balances.get(key)
        if balance is None:
            balance = self._balances[key] = [0, 0]
        return balance
