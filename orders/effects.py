"""What engine events do to money: a pure fold over one batch, atoms in, changes out.

Settlement (orders/settlement.py) reads what the fold needs, runs it, and writes what came out. A
hold that would go below zero, an event for an order that holds nothing: these are bugs and crash
here, before anything is written. Nothing is ever clamped.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, get_args

from exchange.domain.units import SymbolUnits
from matching import messages
from matching.codec import Sequenced
from matching.messages import (
    DUPLICATE_ORDER_ID,
    CommandRefused,
    DeskEvent,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderRejected,
    Place,
    StateChanged,
    Trade,
)
from wallets.fees import BUY, SELL, fee_of_fill, hold_atoms
from wallets.postings import BalanceChange, BalanceKey, Posting, trade_postings

assert (BUY, SELL) == (messages.BUY, messages.SELL), "wallets and the engine name sides alike"


class Held:
    """What one live order holds, in atoms of the asset it pays with, and on what terms."""

    __slots__ = (
        "account_id",
        "accrued",
        "asset_id",
        "atoms",
        "has_ended",
        "maker_fee_ppm",
        "order_id",
        "pending_amend_id",
        "price_ticks",
        "side",
        "symbol_id",
        "taker_fee_ppm",
    )

    def __init__(
        self,
        *,
        order_id: int,
        account_id: int,
        asset_id: int,
        symbol_id: int,
        side: int,
        price_ticks: int,
        atoms: int,
        maker_fee_ppm: int,
        taker_fee_ppm: int,
        accrued: int = 0,
        pending_amend_id: int | None = None,
    ) -> None:
        self.order_id = order_id
        self.account_id = account_id
        self.asset_id = asset_id
        self.symbol_id = symbol_id
        self.side = side
        self.price_ticks = price_ticks
        self.atoms = atoms
        self.maker_fee_ppm = maker_fee_ppm
        self.taker_fee_ppm = taker_fee_ppm
        self.accrued = accrued
        self.pending_amend_id = pending_amend_id
        self.has_ended = False

    def hold(self, left_lots: int, units: SymbolUnits) -> int:
        """Atoms that the order needs with so much left, on its present terms."""
        return hold_atoms(
            self.side, left_lots, self.price_ticks, units, self.accrued, self.taker_fee_ppm
        )


class Effects:
    """The changes of one batch: journals to post, reservations to rewrite, balances to add to."""

    __slots__ = ("_balances", "changed", "journals")

    def __init__(self) -> None:
        self.journals: list[tuple[int, list[Posting]]] = []
        self.changed: dict[int, Held] = {}
        self._balances: dict[BalanceKey, list[int]] = {}

    def post(self, journal_id: int, postings: list[Posting]) -> None:
        """Add a journal; its postings reach the balances as available funds."""
        self.journals.append((journal_id, postings))
        for account_id, asset_id, atoms, _ in postings:
            self._balance(account_id, asset_id)[0] += atoms

    def unreserve(self, held: Held, atoms: int) -> None:
        """Turn reserved atoms into available ones; what was paid out of them is posted."""
        assert atoms >= 0, f"order {held.order_id} would hold more by {-atoms} atoms"
        assert held.atoms >= atoms, f"order {held.order_id} holds {held.atoms}, not {atoms} atoms"
        held.atoms -= atoms
        self.changed[held.order_id] = held
        if atoms:
            balance = self._balance(held.account_id, held.asset_id)
            balance[0] += atoms
            balance[1] -= atoms

    def balances(self) -> dict[BalanceKey, BalanceChange]:
        """Return what changes per account and asset, folded over the batch, without zeros."""
        return {
            key: BalanceChange(*change) for key, change in self._balances.items() if any(change)
        }

    def ended(self) -> list[int]:
        """Return the ids of the orders that hold nothing any more, ascending."""
        return sorted(held.order_id for held in self.changed.values() if held.has_ended)

    def kept(self) -> list[Held]:
        """Return the reservations that changed and live on, by order id."""
        return [held for _, held in sorted(self.changed.items()) if not held.has_ended]

    def _balance(self, account_id: int, asset_id: int) -> list[int]:
        key = (account_id, asset_id)
        balance = self._balances.get(key)
        if balance is None:
            balance = self._balances[key] = [0, 0]
        return balance


class Fold:
    """Applies rows of the engine's journal to reservations, in order."""

    def __init__(
        self,
        held: dict[int, Held],
        units: Mapping[int, SymbolUnits],
        *,
        house_id: int,
        trade_ids: Iterable[int],
        amend_extras: Mapping[int, int],
    ) -> None:
        """`amend_extras`: for refused amends, by command id, what was reserved for them."""
        self.effects = Effects()
        self._held = held
        self._units = units
        self._house_id = house_id
        self._trade_ids: Iterator[int] = iter(trade_ids)
        self._amend_extras = amend_extras

    def apply(self, rows: Iterable[Sequenced]) -> Effects:
        """Fold all rows; every trade id must be used up by them."""
        for row in rows:
            for event in row.events:
                _HANDLERS[type(event)](self, row, event)
        assert next(self._trade_ids, None) is None, "as many trade ids as trades"
        return self.effects

    def _live(self, order_id: int) -> Held:
        held = self._held.get(order_id)
        assert held is not None, f"order {order_id} holds nothing"
        assert not held.has_ended, f"order {order_id} has ended"
        return held

    def _traded(self, row: Sequenced, event: Trade) -> None:
        maker, taker = self._live(event.maker_order_id), self._live(event.taker_order_id)
        units = self._units[row.command.symbol_id]
        assert maker.symbol_id == taker.symbol_id == units.symbol_id
        assert taker.side == event.taker_side
        assert maker.side == 1 - event.taker_side
        lots = event.quantity_lots
        notional = event.price_ticks * lots * units.quote_atoms_per_ticklot
        # A taker by quote amount is bounded by money, not lots: it is trimmed when it ends, which
        # it does in this very command.
        by_budget = type(row.command) is Place and row.command.budget_ticklots > 0
        taker_left = None if by_budget else event.taker_left_lots
        maker_fee = self._fill(
            maker, maker.maker_fee_ppm, notional, lots, event.maker_left_lots, units
        )
        taker_fee = self._fill(taker, taker.taker_fee_ppm, notional, lots, taker_left, units)
        taker_buys = event.taker_side == BUY
        self.effects.post(
            next(self._trade_ids),
            trade_postings(
                buyer_id=taker.account_id if taker_buys else maker.account_id,
                seller_id=maker.account_id if taker_buys else taker.account_id,
                house_id=self._house_id,
                base_id=units.base_asset_id,
                quote_id=units.quote_asset_id,
                base_atoms=lots * units.base_atoms_per_lot,
                quote_atoms=notional,
                buyer_fee_atoms=taker_fee if taker_buys else maker_fee,
                seller_fee_atoms=maker_fee if taker_buys else taker_fee,
            ),
        )

    def _fill(
        self,
        held: Held,
        fee_ppm: int,
        notional_atoms: int,
        lots: int,
        left_lots: int | None,
        units: SymbolUnits,
    ) -> int:
        """Charge one side of a trade; take what it paid and no longer needs off its hold."""
        if left_lots is None:
            assert held.side == BUY, "only a buyer can be bounded by a quote amount"
            fee, held.accrued = fee_of_fill(held.accrued, notional_atoms, fee_ppm)
            self.effects.unreserve(held, notional_atoms + fee)
            return fee
        before = held.hold(left_lots + lots, units)
        fee, held.accrued = fee_of_fill(held.accrued, notional_atoms, fee_ppm)
        # The difference of two holds keeps whatever is reserved on top for an amend on its way.
        freed = before - held.hold(left_lots, units)
        assert held.side == SELL or freed >= notional_atoms + fee, (
            f"order {held.order_id} would pay more than it holds: a trade outside its limit"
        )
        self.effects.unreserve(held, freed)
        if left_lots == 0:
            assert held.atoms == 0 or held.pending_amend_id is not None
            self._end(held)
        return fee

    def _end(self, held: Held) -> None:
        self.effects.unreserve(held, held.atoms)
        held.has_ended = True

    def _cancelled(self, _row: Sequenced, event: OrderCancelled) -> None:
        self._end(self._live(event.order_id))

    def _rejected(self, _row: Sequenced, event: OrderRejected) -> None:
        # An id is sequenced once; releasing here would strip the order that has the id.
        assert event.code != DUPLICATE_ORDER_ID, f"order {event.order_id} was sequenced twice"
        self._end(self._live(event.order_id))

    def _amended(self, row: Sequenced, event: OrderAmended) -> None:
        held = self._live(event.order_id)
        assert held.pending_amend_id in (None, row.command.command_id)
        held.price_ticks = event.price_ticks
        held.pending_amend_id = None
        units = self._units[held.symbol_id]
        self.effects.unreserve(held, held.atoms - held.hold(event.left_lots, units))

    def _refused(self, _row: Sequenced, event: CommandRefused) -> None:
        held = self._held.get(event.order_id)
        if held is None or held.has_ended or held.pending_amend_id != event.command_id:
            return
        held.pending_amend_id = None
        self.effects.unreserve(held, self._amend_extras[event.command_id])

    def _nothing(self, _row: Sequenced, _event: Event) -> None:
        """An event that moves no money."""

    def _not_asked_for(self, row: Sequenced, event: DeskEvent) -> None:
        raise AssertionError(f"intake sends no command that leads to {event} (row {row.sequence})")


_HANDLERS: Final[dict[type[Any], Callable[[Fold, Sequenced, Any], None]]] = {
    OrderAccepted: Fold._nothing,
    OrderRejected: Fold._rejected,
    Trade: Fold._traded,
    OrderCancelled: Fold._cancelled,
    OrderAmended: Fold._amended,
    CommandRefused: Fold._refused,
    StateChanged: Fold._nothing,
    **dict.fromkeys(get_args(DeskEvent), Fold._not_asked_for),
}
assert set(_HANDLERS) == set(get_args(Event)), "an event without a handler fails at import"


def orders_touched(rows: Iterable[Sequenced]) -> set[int]:
    """Return the orders whose reservations these rows may change."""
    touched: set[int] = set()
    for row in rows:
        for event in row.events:
            if isinstance(event, Trade):
                touched.add(event.maker_order_id)
                touched.add(event.taker_order_id)
            elif isinstance(event, OrderRejected | OrderCancelled | OrderAmended | CommandRefused):
                touched.add(event.order_id)
    return touched


def amends_refused(rows: Iterable[Sequenced], held: Mapping[int, Held]) -> list[int]:
    """Return the command ids of refused amends for which an order still holds extra funds."""
    pending = {one.pending_amend_id for one in held.values()} - {None}
    return [
        event.command_id
        for row in rows
        for event in row.events
        if type(event) is CommandRefused and event.command_id in pending
    ]
