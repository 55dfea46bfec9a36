"""Reservations and balances in memory, and a settlement of them with the real fold."""

from collections import Counter
from dataclasses import dataclass, field, replace

from exchange.domain.units import SymbolUnits
from matching.engine import messages as m
from matching.engine.journal import Sequenced
from orders.settlement.batch import amends_refused, orders_touched
from orders.settlement.fold import Fold
from wallets.postings import assert_balanced
from wallets.reservations import OrderReservation

HOUSE = -1
MAKER_PPM, TAKER_PPM = 777, 1_313  # so that fees are rarely whole atoms


@dataclass
class Row:
    """A row of wallets_reservation, amounts in atoms."""

    order_id: int
    account_id: int
    asset_id: int
    symbol_id: int
    side: int
    price_ticks: int
    atoms: int
    maker_fee_ppm: int = MAKER_PPM
    taker_fee_ppm: int = TAKER_PPM
    accrued: int = 0
    pending_amend_id: int | None = None
    pool_id: int | None = None
    funded_by: int | None = None
    left_lots: int | None = None


COLUMNS = tuple(Row.__dataclass_fields__)


@dataclass
class Tables:
    """The tables that settlement reads and writes: reservations, balances, sums of entries."""

    rows: dict[int, Row] = field(default_factory=dict)
    balances: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    posted: Counter[tuple[int, int]] = field(default_factory=Counter)

    def copy(self) -> "Tables":
        """Return a copy to settle into; it shares the rows, which settlement replaces."""
        balances = {key: list(balance) for key, balance in self.balances.items()}
        return Tables(dict(self.rows), balances, Counter(self.posted))

    def family(self, named: set[int]) -> set[int]:
        """Return the orders that wallets.locks.reservations_locked finds for these orders."""
        pools = {self.rows[one].pool_id for one in named if one in self.rows} - {None}
        linked = {
            row.order_id
            for row in self.rows.values()
            if row.funded_by in named or row.pool_id in pools
        }
        return (named & self.rows.keys()) | linked

    def settle(
        self,
        batch: list[Sequenced],
        units: dict[int, SymbolUnits],
        extras: dict[int, int],
    ) -> None:
        """Settle one batch with the real fold; assertions stand for the tables' constraints."""
        named = self.family(orders_touched(batch))
        held = {
            one: OrderReservation(**{name: getattr(self.rows[one], name) for name in COLUMNS})
            for one in named
        }
        trades = sum(type(event) is m.Trade for row in batch for event in row.events)
        refused = {one: extras[one] for one in amends_refused(batch, held)}
        fold = Fold(held, units, house_id=HOUSE, trade_ids=range(trades), amend_extras=refused)
        effects = fold.apply(batch)
        for _, postings in effects.journals:
            assert_balanced(postings)  # L1
            for account_id, asset_id, atoms, _ in postings:
                self.posted[account_id, asset_id] += atoms
        for order_id in effects.ended():
            del self.rows[order_id]
        for one in effects.kept():
            old, links = self.rows[one.order_id], ("pool_id", "funded_by", "left_lots")
            if one.is_plain:  # the statement for plain rows does not write these
                assert all(getattr(old, name) is getattr(one, name) is None for name in links)
            self.rows[one.order_id] = Row(*(getattr(one, name) for name in COLUMNS))
        for key, change in effects.balances().items():
            balance = self.balances.setdefault(key, [0, 0])
            balance[0] += change.available_atoms
            balance[1] += change.reserved_atoms
            assert balance[1] >= 0, key  # L4
            assert balance[0] >= 0 or key[0] == HOUSE, key


def normalized(tables: Tables) -> None:
    """Move each pool's amount to its first row and sort: either row may have the amount."""
    pools: dict[int, list[Row]] = {}
    for order_id in sorted(tables.rows):
        row = tables.rows[order_id]
        if row.pool_id is not None:
            pools.setdefault(row.pool_id, []).append(row)
    for members in pools.values():
        atoms = sum(row.atoms for row in members)
        for row in members:
            tables.rows[row.order_id] = replace(row, atoms=atoms)
            atoms = 0
    tables.rows = dict(sorted(tables.rows.items()))
    tables.balances = dict(sorted(tables.balances.items()))
