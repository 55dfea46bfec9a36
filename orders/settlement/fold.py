"""The effect of engine events on money: a pure fold over one batch, atoms in, changes out.

Settlement (orders/settlement/batch.py) reads the fold's input, runs it, and writes its changes. A
reservation that would go below zero and an event for an order without a reservation are bugs: they
crash here, before anything is written. Nothing is ever clamped.

A live order's reservation covers its open quantity: `reservation_atoms` at its limit, or at its
bound as a market order. An order with a trigger reserves from its acceptance on, an iceberg also
for its hidden quantity. Linked orders: wallets/linked.py.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, get_args

from exchange.domain.units import SymbolUnits
from matching.engine import messages
from matching.engine.journal import Sequenced
from matching.engine.messages import (
    DUPLICATE_ORDER_ID,
    STP_DECREMENT,
    Amend,
    AuctionUncrossed,
    Command,
    CommandDone,
    CommandRefused,
    ContinueNeeded,
    Event,
    ListAccepted,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderRefreshed,
    OrderRejected,
    OrderRepriced,
    OrderTriggered,
    OrderWaiting,
    PhaseChanged,
    Place,
    PlaceList,
    ReferenceMoved,
    SelfTradePrevented,
    StateChanged,
    Trade,
)
from wallets.fees import BUY, SELL, fee_of_fill
from wallets.linked import Links
from wallets.postings import trade_postings
from wallets.reservations import OrderReservation, SettlementChanges

assert (BUY, SELL) == (messages.BUY, messages.SELL), "wallets and the engine name sides alike"


class Fold:
    """Applies rows of the engine's journal to reservations, in order."""

    def __init__(
        self,
        reservations: dict[int, OrderReservation],
        units: Mapping[int, SymbolUnits],
        *,
        house_id: int,
        trade_ids: Iterable[int],
        amend_extras: Mapping[int, int],
    ) -> None:
        """`amend_extras`: atoms reserved on top for refused amends, by command id."""
        self.changes = SettlementChanges()
        self._reservations = reservations
        self._units = units
        self._house_id = house_id
        self._trade_ids: Iterator[int] = iter(trade_ids)
        self._amend_extras = amend_extras
        self._links = Links(reservations.values(), units, self.changes)
        # Orders that self-trade prevention decrements: their next OrderAmended answers no command.
        self._decremented: set[int] = set()

    def apply(self, rows: Iterable[Sequenced]) -> SettlementChanges:
        """Fold all rows; they must use up all trade ids."""
        for row in rows:
            for event in row.events:
                _HANDLERS[type(event)](self, row, event)
        assert next(self._trade_ids, None) is None, "as many trade ids as trades"
        return self.changes

    def _live(self, order_id: int) -> OrderReservation:
        reservation = self._reservations.get(order_id)
        assert reservation is not None, f"order {order_id} has no reservation"
        assert not reservation.has_ended, f"order {order_id} has ended"
        return reservation

    def _traded(self, row: Sequenced, event: Trade) -> None:
        maker, taker = self._live(event.maker_order_id), self._live(event.taker_order_id)
        units = self._units[row.command.symbol_id]
        assert maker.symbol_id == taker.symbol_id == units.symbol_id
        assert taker.side == event.taker_side
        assert maker.side == 1 - event.taker_side
        lots = event.quantity_lots
        notional = event.price_ticks * lots * units.quote_atoms_per_ticklot
        if maker.left_lots is not None:
            self._links.stands_alone(maker)
        if taker.left_lots is not None:
            self._links.stands_alone(taker)
        # A taker by quote amount is bounded by money, not lots, and is entered by its own command
        # alone. Orders that its trades trigger take liquidity in the same row, and are bounded by
        # lots.
        command = row.command
        by_budget = (
            type(command) is Place
            and command.budget_ticklots > 0
            and command.order_id == event.taker_order_id
        )
        taker_left = None if by_budget else event.taker_left_lots
        maker_fee = self._fill(
            maker, maker.maker_fee_ppm, notional, lots, event.maker_left_lots, units
        )
        taker_fee = self._fill(taker, taker.taker_fee_ppm, notional, lots, taker_left, units)
        taker_buys = event.taker_side == BUY
        self.changes.post(
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
        if self._links.funded:
            self._brought_in(event, maker, notional - maker_fee, event.maker_left_lots)
            self._brought_in(event, taker, notional - taker_fee, event.taker_left_lots)

    def _brought_in(
        self, event: Trade, reservation: OrderReservation, proceeds_atoms: int, left_lots: int
    ) -> None:
        """Fund linked orders: with the base of a buyer, or the quote less the fee of a seller."""
        units = self._units[reservation.symbol_id]
        base_atoms = event.quantity_lots * units.base_atoms_per_lot
        credit_atoms = base_atoms if reservation.side == BUY else proceeds_atoms
        self._links.fund(reservation, credit_atoms, is_filled=left_lots == 0)

    def _fill(
        self,
        reservation: OrderReservation,
        fee_ppm: int,
        notional_atoms: int,
        lots: int,
        left_lots: int | None,
        units: SymbolUnits,
    ) -> int:
        """Charge one side of a trade and return its fee; unreserve what it paid and no longer
        needs.

        `left_lots` None: a taker by quote amount. Its reservation is trimmed at its end, which
        comes in the same command.
        """
        before = None
        if left_lots is not None and reservation.left_lots is None:
            before = reservation.required(left_lots + lots, units)
        fee, reservation.accrued = fee_of_fill(reservation.accrued, notional_atoms, fee_ppm)
        paid = notional_atoms + fee if reservation.side == BUY else lots * units.base_atoms_per_lot
        if before is not None:
            assert left_lots is not None
            # The difference of two requirements leaves the extra of an amend on its way untouched.
            freed = before - reservation.required(left_lots, units)
            assert freed >= paid, (
                f"order {reservation.order_id} pays more than it has: a trade outside its limit"
            )
        else:
            assert left_lots is not None or reservation.side == BUY, (
                "a quote amount bounds buyers only"
            )
            freed = paid
            reservation.left_lots = left_lots
        self.changes.unreserve(reservation, freed)
        if left_lots == 0:
            assert reservation.atoms == 0 or reservation.pending_amend_id is not None
            self._end(reservation)
        return fee

    def _end(self, reservation: OrderReservation) -> None:
        if reservation.left_lots is not None:
            self._links.ended(reservation)
        self.changes.unreserve(reservation, reservation.atoms)
        reservation.has_ended = True

    def _accepted(self, row: Sequenced, event: OrderAccepted) -> None:
        command = row.command
        if type(command) is Place and command.price_ticks == event.price_ticks:
            return  # the hot path
        if is_repriced(command, event):
            reservation = self._live(event.order_id)
            self._new_terms(reservation, event.price_ticks, event.quantity_lots)

    def _cancelled(self, _row: Sequenced, event: OrderCancelled) -> None:
        reservation = self._live(event.order_id)
        assert reservation.left_lots in (None, event.left_lots), (
            f"order {reservation.order_id}: what is open"
        )
        self._end(reservation)

    def _rejected(self, _row: Sequenced, event: OrderRejected) -> None:
        # An id is sequenced once; releasing here would empty the other order's reservation.
        assert event.code != DUPLICATE_ORDER_ID, f"order {event.order_id} was sequenced twice"
        self._end(self._live(event.order_id))

    def _prevented(self, _row: Sequenced, event: SelfTradePrevented) -> None:
        # An order decremented to nothing ends instead: its id stays here without effect.
        is_decrement = event.mode == STP_DECREMENT
        self._decremented = {event.maker_order_id, event.taker_order_id} if is_decrement else set()

    def _amended(self, row: Sequenced, event: OrderAmended) -> None:
        reservation = self._live(event.order_id)
        command = row.command
        if event.order_id in self._decremented:
            self._decremented.discard(event.order_id)
        elif type(command) is Amend and command.order_id == event.order_id:
            assert reservation.pending_amend_id in (None, command.command_id)
            reservation.pending_amend_id = None
        self._new_terms(reservation, event.price_ticks, event.left_lots)

    def _repriced(self, _row: Sequenced, event: OrderRepriced) -> None:
        self._new_terms(self._live(event.order_id), event.price_ticks, event.left_lots)

    def _new_terms(self, reservation: OrderReservation, price_ticks: int, left_lots: int) -> None:
        reservation.price_ticks = price_ticks
        self.changes.changed[reservation.order_id] = reservation
        if reservation.left_lots is None and reservation.pending_amend_id is None:
            units = self._units[reservation.symbol_id]
            self.changes.unreserve(
                reservation, reservation.atoms - reservation.required(left_lots, units)
            )
        else:
            reservation.left_lots = left_lots
            self._links.trim(reservation)

    def _refused(self, _row: Sequenced, event: CommandRefused) -> None:
        reservation = self._reservations.get(event.order_id)
        if (
            reservation is None
            or reservation.has_ended
            or reservation.pending_amend_id != event.command_id
        ):
            return
        reservation.pending_amend_id = None
        self.changes.changed[reservation.order_id] = reservation
        if reservation.left_lots is None:
            self.changes.unreserve(reservation, self._amend_extras[event.command_id])
        else:
            self._links.trim(reservation)

    def _nothing(self, _row: Sequenced, _event: Event) -> None:
        """An event that moves no money."""


_HANDLERS: Final[dict[type[Any], Callable[[Fold, Sequenced, Any], None]]] = {
    OrderAccepted: Fold._accepted,
    OrderRejected: Fold._rejected,
    Trade: Fold._traded,
    OrderCancelled: Fold._cancelled,
    OrderAmended: Fold._amended,
    OrderRepriced: Fold._repriced,
    CommandRefused: Fold._refused,
    SelfTradePrevented: Fold._prevented,
    **dict.fromkeys(
        (
            StateChanged,
            OrderWaiting,
            OrderTriggered,
            OrderRefreshed,
            ListAccepted,
            CommandDone,
            ContinueNeeded,
            AuctionUncrossed,
            PhaseChanged,
            ReferenceMoved,
        ),
        Fold._nothing,
    ),
}
assert set(_HANDLERS) == set(get_args(Event)), "an event without a handler fails at import"


def is_repriced(command: Command, event: OrderAccepted) -> bool:
    """Tell whether a post-only order was accepted at another price than it asked for."""
    if type(command) is PlaceList:
        [command] = [place for place in command.orders if place.order_id == event.order_id]
    assert type(command) is Place
    return event.price_ticks != command.price_ticks
