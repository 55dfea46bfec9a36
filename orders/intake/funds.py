"""The sums that a batch takes of the balances it has locked. No I/O.

Sums are atoms of the balance's asset; `scale` is that asset's scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.domain.units import SymbolUnits, atoms_to_decimal, decimal_to_atoms, plain
from orders.intake.rows import TakenRow, amount_text

AssetKey = tuple[int, int]  # account id, asset id

NO_BALANCE: Final = (0, Decimal(0))


class Deferred(Exception):
    """The job has to wait for the next batch."""


@dataclass(slots=True)
class Fund:
    """A locked balance: its available atoms, and the atoms that this batch takes of it."""

    balance_id: int
    available_atoms: int
    scale: int
    taken_atoms: int = 0


class Funds:
    """The balances of one batch. Each job's reservation leaves less for the next job."""

    def __init__(
        self, available: Mapping[AssetKey, tuple[int, Decimal]], busy: set[AssetKey]
    ) -> None:
        self._available = available
        self._busy = busy  # balances that exist but were not locked
        self._funds: dict[AssetKey, Fund] = {}

    def reserve(
        self, account_id: int, asset_id: int, atoms: int, scale: int, units: SymbolUnits
    ) -> None:
        """Take atoms of a locked balance. Nothing is taken when this raises.

        Raises funds.insufficient, and Deferred when another transaction has the balance locked.
        """
        key = (account_id, asset_id)
        fund = self._funds.get(key)
        if fund is None:
            if key in self._busy:
                raise Deferred
            balance_id, available = self._available.get(key, NO_BALANCE)
            fund = Fund(balance_id, decimal_to_atoms(available, scale), scale)
            self._funds[key] = fund
        left_atoms = fund.available_atoms - fund.taken_atoms
        if left_atoms < atoms:
            raise DomainError(
                Code.FUNDS_INSUFFICIENT,
                needed=plain(atoms_to_decimal(atoms, scale)),
                available=plain(atoms_to_decimal(left_atoms, scale)),
                asset=units.asset_code(asset_id),
            )
        fund.taken_atoms += atoms

    def taken(self) -> list[TakenRow]:
        """Return what the batch takes: one row for each balance it takes from."""
        return [
            TakenRow(fund.balance_id, amount_text(fund.taken_atoms, fund.scale))
            for fund in self._funds.values()
            if fund.taken_atoms
        ]
