"""Intake, engine and settlement in memory, for tests with random histories.

`MemoryLedger` keeps reservations and balances as the tables do. It accepts commands as intake does
(it reserves first, and refuses commands without cover), sequences them with the real engine, and
settles the journal with the real fold, in batches of any size. The expected reservations are then
computed anew from the engine's open orders and the trades, not from the fold's memory.
"""

import random
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from decimal import Decimal

from exchange.domain.units import SymbolUnits
from matching.engine import messages as m
from matching.engine.components import Waiting
from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.resting import RestingOrder
from matching.state.hash import open_order, open_orders
from tests.oracles.money.tables import HOUSE, MAKER_PPM, TAKER_PPM, Row, Tables, normalized
from wallets.fees import (
    amend_extra_atoms,
    fee_ceil,
    reservation_atoms,
    reservation_for_quote_amount,
)

QUOTE = 90


def units_make(symbol_id: int) -> SymbolUnits:
    """Return a symbol's units: own base asset, shared quote, 10 atoms a tick-lot, so fees round."""
    return SymbolUnits.build(
        symbol_id=symbol_id,
        code=f"B{symbol_id}-Q",
        base_asset_id=symbol_id,
        quote_asset_id=QUOTE,
        base_scale=3,
        quote_scale=2,
        tick=Decimal("0.1"),
        lot=Decimal(1),
    )


class MemoryLedger:
    """One partition: `accept` takes commands in, `sequence` applies them, `settle` settles."""

    def __init__(
        self, accounts: Sequence[int], units: dict[int, SymbolUnits], funds: int, seed: int
    ) -> None:
        """Start each account with `funds` atoms of every asset; `units` are by symbol id."""
        self.chance = random.Random(seed)
        self.units = units
        self.assets = {
            asset_id
            for one in units.values()
            for asset_id in (one.base_asset_id, one.quote_asset_id)
        }
        self.engine = Engine()
        self.tables = Tables()
        self.queue: deque[m.Command] = deque()
        self.unsettled: list[Sequenced] = []
        self.extras: dict[int, int] = {}
        self.places: dict[int, m.Place] = {}
        self.children: dict[int, list[int]] = {}  # of a list's parent, as accepted
        self.fills: dict[int, list[tuple[int, int, int]]] = {}  # order: (lots, notional, fee ppm)
        self.seen: Counter[str] = Counter()
        self.funds = funds
        self.fault_share = 0.01
        for account in accounts:
            for asset_id in self.assets:
                self.tables.balances[account, asset_id] = [funds, 0]

    # --- accept, as intake does

    def accept(self, command: m.Command) -> bool:
        """Reserve for a command and queue it; return False if it is refused, without any change."""
        if type(command) is m.Place:
            taken = self._place(command)
        elif type(command) is m.PlaceList:
            taken = self._list(command)
        elif type(command) is m.Amend:
            taken = self._amend(command)
        else:
            taken = True
        if taken:
            self.queue.append(command)
        return taken

    def _place(self, place: m.Place) -> bool:
        if place.budget_ticklots and (place.side == m.SELL or _has_trigger(place)):
            return False
        return self._reserve([self._row(place, self._need_asked(place))], [place])

    def _list(self, command: m.PlaceList) -> bool:
        """Reserve for a list; a pool's first row has its amount."""
        places = command.orders
        parent = None if command.kind == m.OCO else places[0]
        children = places if parent is None else places[1:]
        if len(children) == 2 and children[0].side != children[1].side:
            return False
        rows = [] if parent is None else [self._row(parent, self._need_asked(parent))]
        needs = [self._need_asked(place) for place in children]
        for place, need in zip(children, needs, strict=True):
            row = self._row(place, need)
            if len(children) == 2:
                row.pool_id = command.list_id
                row.atoms = max(needs) if place is children[0] else 0
                row.left_lots = place.quantity_lots
            if parent is not None and parent.side != place.side:
                if need > self._brings_min(parent):
                    return False
                row.funded_by, row.left_lots, row.atoms = parent.order_id, place.quantity_lots, 0
            rows.append(row)
        if not self._reserve(rows, places):
            return False
        if parent is not None:
            self.children[parent.order_id] = [place.order_id for place in children]
        return True

    def _brings_min(self, parent: m.Place) -> int:
        units = self.units[parent.symbol_id]
        if parent.side == m.BUY:
            return parent.quantity_lots * units.base_atoms_per_lot
        notional = units.notional_atoms(parent.price_ticks, parent.quantity_lots)
        return notional - fee_ceil(notional * TAKER_PPM)

    def _row(self, place: m.Place, atoms: int) -> Row:
        units = self.units[place.symbol_id]
        asset_id = units.quote_asset_id if place.side == m.BUY else units.base_asset_id
        return Row(
            place.order_id, place.account_id, asset_id, place.symbol_id, place.side,
            place.price_ticks, atoms,
        )  # fmt: skip

    def _need_asked(self, place: m.Place) -> int:
        units = self.units[place.symbol_id]
        if place.budget_ticklots:
            atoms = place.budget_ticklots * units.quote_atoms_per_ticklot
            return reservation_for_quote_amount(atoms, taker_fee_ppm=TAKER_PPM)
        return reservation_atoms(
            place.side, place.quantity_lots, place.price_ticks, units, 0, TAKER_PPM
        )  # fmt: skip

    def _reserve(self, rows: list[Row], places: list[m.Place]) -> bool:
        assert len({row.account_id for row in rows}) == 1
        wanted: Counter[tuple[int, int]] = Counter()
        for row in rows:
            wanted[row.account_id, row.asset_id] += row.atoms
        if any(self.tables.balances[key][0] < atoms for key, atoms in wanted.items()):
            self.seen["refused for want of funds"] += 1
            return False
        for key, atoms in wanted.items():
            self._take(key, atoms)
        for row, place in zip(rows, places, strict=True):
            self.tables.rows[row.order_id] = row
            self.places[place.order_id] = place
        return True

    def _take(self, key: tuple[int, int], atoms: int) -> None:
        self.tables.balances[key][0] -= atoms
        self.tables.balances[key][1] += atoms

    def _amend(self, command: m.Amend) -> bool:
        row = self.tables.rows.get(command.order_id)
        if row is None or self._is_bound(row) or row.symbol_id != command.symbol_id:
            return False
        pool = [row.pool_id] if row.pool_id else []
        members = [row, *(one for one in self.tables.rows.values() if one.pool_id in pool)]
        if any(one.pending_amend_id is not None for one in members):
            return False
        terms = self._terms_known(command.order_id)
        if terms is None:
            return False
        price_ticks, quantity_lots, left_lots = terms
        extra = amend_extra_atoms(
            row.side,
            filled_lots=quantity_lots - left_lots,
            price_ticks=price_ticks,
            quantity_lots=quantity_lots,
            new_price_ticks=command.price_ticks or price_ticks,
            new_quantity_lots=command.quantity_lots or quantity_lots,
            units=self.units[row.symbol_id],
            taker_fee_ppm=TAKER_PPM,
        )
        key = (row.account_id, row.asset_id)
        if self.tables.balances[key][0] < extra:
            return False
        self._take(key, extra)
        row.atoms += extra
        row.pending_amend_id = command.command_id
        self.extras[command.command_id] = extra
        return True

    def _is_bound(self, row: Row) -> bool:
        """Tell whether an order is a parent or child that waits in a list: it takes no amends."""
        rows = self.tables.rows
        family = ((parent, row.order_id in children) for parent, children in self.children.items())
        return row.funded_by is not None or any(
            (is_child and parent in rows)
            or (parent == row.order_id and any(one in rows for one in self.children[parent]))
            for parent, is_child in family
        )

    def _terms_known(self, order_id: int) -> tuple[int, int, int] | None:
        """Return price, quantity and open lots as in orders_order; None: nothing to amend."""
        place = self.places[order_id]
        if place.budget_ticklots:
            return None
        if any(order_id in _orders_of(command) for command in self.queue):
            return place.price_ticks, place.quantity_lots, place.quantity_lots
        order = open_order(self.engine.book(place.symbol_id), order_id)
        return None if order is None else _terms_of(order)

    # --- sequence, as the worker does

    def sequence(self) -> None:
        """Sequence the next accepted command, and usually its continuations."""
        command = self.queue.popleft()
        if self.chance.random() < self.fault_share:  # as if the engine had raised
            for faulty in _stand_ins(command):
                self._apply(faulty)
            return
        # Rarely another command comes first; its journal row then has the rest of the work.
        while self._apply(command) and self.chance.random() > 5 * self.fault_share:
            command = m.Continue(10**9 + self.engine.sequence, 0, command.symbol_id)

    def _apply(self, command: m.Command) -> bool:
        """Apply a command; return whether it needs a continuation."""
        events = self.engine.apply(command)
        self.unsettled.append(Sequenced(self.engine.sequence, command, events))
        for event in events:
            self.seen[type(event).__name__] += 1
            if type(event) is m.Trade:
                units = self.units[command.symbol_id]
                lots = event.quantity_lots
                notional = units.notional_atoms(event.price_ticks, lots)
                for order_id, ppm in (
                    (event.maker_order_id, MAKER_PPM),
                    (event.taker_order_id, TAKER_PPM),
                ):
                    self.fills.setdefault(order_id, []).append((lots, notional, ppm))
        return bool(events) and type(events[-1]) is m.ContinueNeeded

    # --- settle

    def settle(self) -> None:
        """Settle in one batch, row by row, and in random batches; all results are equal (S1)."""
        rows, self.unsettled = self.unsettled, []
        outcomes = [
            self._settled(batches) for batches in ([rows], [[row] for row in rows], self._cut(rows))
        ]
        assert outcomes[0] == outcomes[1], "S1: row by row"
        assert outcomes[0] == outcomes[2], "S1: cut at random"
        self.tables = outcomes[0]
        self.check()

    def _settled(self, batches: list[list[Sequenced]]) -> Tables:
        tables = self.tables.copy()
        for batch in batches:
            if batch:
                tables.settle(batch, self.units, self.extras)
        normalized(tables)
        return tables

    def _cut(self, rows: list[Sequenced]) -> list[list[Sequenced]]:
        cuts = sorted(self.chance.randint(0, len(rows)) for _ in range(3))
        return [rows[low:high] for low, high in zip((0, *cuts), (*cuts, len(rows)), strict=True)]

    @staticmethod
    def tables_of(rows: dict[int, Row]) -> Tables:
        """Return rows read from the database in the normal form of settled tables."""
        tables = Tables(rows)
        normalized(tables)
        return tables

    # --- invariants when everything is settled

    def check(self) -> None:
        """Check L2 to L5; each reservation is computed from its definition."""
        tables = self.tables
        reserved: Counter[tuple[int, int]] = Counter()
        for row in tables.rows.values():
            reserved[row.account_id, row.asset_id] += row.atoms
        for key, balance in tables.balances.items():
            assert balance[1] == reserved[key], f"L5: {key}"
            start = 0 if key[0] == HOUSE else self.funds
            assert sum(balance) == start + tables.posted[key], f"L3: {key}"
        for asset_id in self.assets:
            of_asset = (atoms for key, atoms in tables.posted.items() if key[1] == asset_id)
            assert sum(of_asset) == 0, f"L2: {asset_id}"
        self._check_open()
        pools: dict[int, list[Row]] = {}
        for row in tables.rows.values():
            assert row.atoms >= 0
            if row.pool_id is None:
                self._check_reserved([row])
            else:
                pools.setdefault(row.pool_id, []).append(row)
        for members in pools.values():
            assert len(members) == 2
            self._check_reserved(members)

    def _check_open(self) -> None:
        waiting = {one for command in self.queue for one in _orders_of(command)}
        in_engine = {
            order.command.order_id if type(order) is Waiting else order.order_id
            for book in self.engine.books.values()
            for order in open_orders(book)
        }
        assert self.tables.rows.keys() == waiting | in_engine, "one reservation, one live order"

    def _check_reserved(self, rows: list[Row]) -> None:
        """Check the amount of one reservation, or the sum of a pool's two."""
        need = max(self._need(row) for row in rows)
        held = sum(row.atoms for row in rows)
        [funded_by] = {row.funded_by for row in rows}
        if funded_by is not None:
            assert held == min(need, self._brought(funded_by)), rows
            self.seen["funded in part" if 0 < held < need else "funded"] += 1
            return
        extra = sum(self.extras[row.pending_amend_id] for row in rows if row.pending_amend_id)
        is_frozen = any(row.pending_amend_id and row.left_lots is not None for row in rows)
        self.seen["frozen by an amend"] += is_frozen
        self.seen["amend on its way"] += bool(extra)
        self.seen["pool"] += len(rows) > 1
        assert held >= need + extra if is_frozen else held == need + extra, (rows, need, extra)
        if not is_frozen and rows[0].pool_id is None:
            assert rows[0].left_lots is None, "only linked and frozen orders keep left_lots"

    def _need(self, row: Row) -> int:
        place = self.places[row.order_id]
        order = open_order(self.engine.book(row.symbol_id), row.order_id)
        if order is None:  # not sequenced yet
            return self._need_asked(place)
        price_ticks, _, left_lots = _terms_of(order)
        assert row.price_ticks == price_ticks
        assert row.left_lots in (None, left_lots)
        accrued = sum(notional * ppm for _, notional, ppm in self.fills.get(row.order_id, ()))
        assert row.accrued == accrued
        units = self.units[row.symbol_id]
        return reservation_atoms(row.side, left_lots, price_ticks, units, accrued, TAKER_PPM)

    def _brought(self, parent_id: int) -> int:
        parent, fills = self.places[parent_id], self.fills.get(parent_id, [])
        if parent.side == m.BUY:
            units = self.units[parent.symbol_id]
            return sum(lots for lots, _, _ in fills) * units.base_atoms_per_lot
        fee = fee_ceil(sum(notional * ppm for _, notional, ppm in fills))
        return sum(notional for _, notional, _ in fills) - fee


def _terms_of(order: RestingOrder | Waiting) -> tuple[int, int, int]:
    """Return price, quantity and open lots."""
    if type(order) is Waiting:
        command = order.command
        return command.price_ticks, command.quantity_lots, command.quantity_lots
    assert type(order) is RestingOrder
    return order.price_ticks, order.quantity_lots, order.left_lots + order.hidden_lots


def _has_trigger(place: m.Place) -> bool:
    return place.terms is not None and place.terms.trigger != m.TRIGGER_NONE


def _orders_of(command: m.Command) -> list[int]:
    places = command.orders if type(command) is m.PlaceList else [command]
    return [place.order_id for place in places if type(place) is m.Place]


def _stand_ins(command: m.Command) -> Iterator[m.Command]:
    """Yield the commands that the worker sequences instead of one at which the engine raised."""
    orders = _orders_of(command)
    for order_id in orders or [getattr(command, "order_id", 0)]:
        number = order_id if orders else command.command_id
        yield m.RefuseFaulty(number, command.time_ms, command.symbol_id, order_id, bool(orders))
