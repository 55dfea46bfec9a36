"""What engine events do to money: a pure fold over one batch, atoms in, changes out.

Settlement (orders/settlement/batch.py) reads what the fold needs, runs it, and writes what came
out. A hold that would go below zero, an event for an order that holds nothing: these are bugs and
crash here, before anything is written. Nothing is ever clamped.

A live order holds what it needs with what it has open: `hold_atoms` at its limit, or at the bound
it trades within as a market order. Who waits for a trigger holds from its acceptance on, an iceberg
holds for what it hides, too. Orders with a linked life: wallets/linked.py.
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
from wallets.reservations import Effects, Held

assert (BUY, SELL) == (messages.BUY, messages.SELL), "wallets and the engine name sides alike"


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
        self._links = Links(held.values(), units, self.effects)
        # Whom self-trade prevention takes lots off: their next OrderAmended answers no command.
        self._decremented: set[int] = set()

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
        if maker.left_lots is not None:
            self._links.stands_alone(maker)
        if taker.left_lots is not None:
            self._links.stands_alone(taker)
        # A taker by quote amount is bounded by money, not lots. Only its own command enters it:
        # whom its trades trigger takes in the same row, and is bounded by lots.
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
        if self._links.funded:
            self._brought_in(event, maker, notional - maker_fee, event.maker_left_lots)
            self._brought_in(event, taker, notional - taker_fee, event.taker_left_lots)

    def _brought_in(self, event: Trade, held: Held, proceeds_atoms: int, left_lots: int) -> None:
        """Pass on what a fill brought in: base to a buyer, what is left of the fee to a seller."""
        units = self._units[held.symbol_id]
        base_atoms = event.quantity_lots * units.base_atoms_per_lot
        credit_atoms = base_atoms if held.side == BUY else proceeds_atoms
        self._links.fund(held, credit_atoms, is_filled=left_lots == 0)

    def _fill(
        self,
        held: Held,
        fee_ppm: int,
        notional_atoms: int,
        lots: int,
        left_lots: int | None,
        units: SymbolUnits,
    ) -> int:
        """Charge one side of a trade; take what it paid and no longer needs off its hold.

        `left_lots` None: a taker by quote amount. It is trimmed when it ends, which it does in this
        very command.
        """
        before = None
        if left_lots is not None and held.left_lots is None:
            before = held.hold(left_lots + lots, units)
        fee, held.accrued = fee_of_fill(held.accrued, notional_atoms, fee_ppm)
        paid = notional_atoms + fee if held.side == BUY else lots * units.base_atoms_per_lot
        if before is not None:
            assert left_lots is not None
            # The difference of two holds keeps whatever is reserved on top for an amend on its way.
            freed = before - held.hold(left_lots, units)
            assert freed >= paid, (
                f"order {held.order_id} would pay more than it holds: a trade outside its limit"
            )
        else:
            assert left_lots is not None or held.side == BUY, "a quote amount bounds buyers only"
            freed = paid
            held.left_lots = left_lots
        self.effects.unreserve(held, freed)
        if left_lots == 0:
            assert held.atoms == 0 or held.pending_amend_id is not None
            self._end(held)
        return fee

    def _end(self, held: Held) -> None:
        if held.left_lots is not None:
            self._links.ended(held)
        self.effects.unreserve(held, held.atoms)
        held.has_ended = True

    def _accepted(self, row: Sequenced, event: OrderAccepted) -> None:
        command = row.command
        if type(command) is Place and command.price_ticks == event.price_ticks:
            return  # nearly always
        if is_repriced(command, event):
            held = self._live(event.order_id)
            self._new_terms(held, event.price_ticks, event.quantity_lots)

    def _cancelled(self, _row: Sequenced, event: OrderCancelled) -> None:
        held = self._live(event.order_id)
        assert held.left_lots in (None, event.left_lots), f"order {held.order_id}: what is open"
        self._end(held)

    def _rejected(self, _row: Sequenced, event: OrderRejected) -> None:
        # An id is sequenced once; releasing here would strip the order that has the id.
        assert event.code != DUPLICATE_ORDER_ID, f"order {event.order_id} was sequenced twice"
        self._end(self._live(event.order_id))

    def _prevented(self, _row: Sequenced, event: SelfTradePrevented) -> None:
        # Who has nothing left of it ends instead, and is never asked for here again.
        is_decrement = event.mode == STP_DECREMENT
        self._decremented = {event.maker_order_id, event.taker_order_id} if is_decrement else set()

    def _amended(self, row: Sequenced, event: OrderAmended) -> None:
        held = self._live(event.order_id)
        command = row.command
        if event.order_id in self._decremented:
            self._decremented.discard(event.order_id)
        elif type(command) is Amend and command.order_id == event.order_id:
            assert held.pending_amend_id in (None, command.command_id)
            held.pending_amend_id = None
        self._new_terms(held, event.price_ticks, event.left_lots)

    def _repriced(self, _row: Sequenced, event: OrderRepriced) -> None:
        self._new_terms(self._live(event.order_id), event.price_ticks, event.left_lots)

    def _new_terms(self, held: Held, price_ticks: int, left_lots: int) -> None:
        held.price_ticks = price_ticks
        self.effects.changed[held.order_id] = held
        if held.left_lots is None and held.pending_amend_id is None:
            units = self._units[held.symbol_id]
            self.effects.unreserve(held, held.atoms - held.hold(left_lots, units))
        else:
            held.left_lots = left_lots
            self._links.trim(held)

    def _refused(self, _row: Sequenced, event: CommandRefused) -> None:
        held = self._held.get(event.order_id)
        if held is None or held.has_ended or held.pending_amend_id != event.command_id:
            return
        held.pending_amend_id = None
        self.effects.changed[held.order_id] = held
        if held.left_lots is None:
            self.effects.unreserve(held, self._amend_extras[event.command_id])
        else:
            self._links.trim(held)

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
