"""The engine's rules in the most obvious form: one list of orders, sorted anew for every look.

Shares nothing with the engine but the messages. Slow on purpose; property tests compare the two.
"""

from dataclasses import dataclass

from matching import messages as m


@dataclass(eq=False)
class NaiveOrder:
    """An open order, or one that is just coming in."""

    symbol_id: int
    order_id: int
    account_id: int
    side: int
    price_ticks: int
    quantity_lots: int
    left_lots: int
    priority: int
    post_only: bool
    self_trade: int

    def accepts(self, price_ticks: int) -> bool:
        """Tell whether trading at this price is within the order's limit."""
        if self.side == m.BUY:
            return price_ticks <= self.price_ticks
        return price_ticks >= self.price_ticks


class NaiveEngine:
    """Same commands, same events as `matching.engine.Engine`."""

    def __init__(self) -> None:
        self.sequence = 0
        self.open: list[NaiveOrder] = []
        self.halted: set[int] = set()

    def apply(self, command: m.Command) -> list[m.Event]:
        """Apply one command and return what happened."""
        self.sequence += 1
        match command:
            case m.Place():
                return self.place(command)
            case m.Cancel():
                return self.cancel(command)
            case m.Amend():
                return self.amend(command)
            case m.CancelAll():
                return self.cancel_all(command)
            case m.SetState():
                return self.set_state(command)
            case m.RefuseFaulty(is_place=True):
                return [m.OrderRejected(command.order_id, 0, m.ENGINE_FAULT)]
            case m.RefuseFaulty():
                return [m.CommandRefused(command.command_id, command.order_id, m.ENGINE_FAULT)]

    def find(self, symbol_id: int, order_id: int) -> NaiveOrder | None:
        """Return the open order of that id, or None."""
        for order in self.open:
            if (order.symbol_id, order.order_id) == (symbol_id, order_id):
                return order
        return None

    def matches(self, taker: NaiveOrder) -> list[NaiveOrder]:
        """Return the orders that the taker may trade with: best price first, then oldest."""
        found = [
            order
            for order in self.open
            if order.symbol_id == taker.symbol_id
            and order.side != taker.side
            and taker.accepts(order.price_ticks)
        ]
        best_first = 1 if taker.side == m.BUY else -1
        return sorted(found, key=lambda order: (best_first * order.price_ticks, order.priority))

    def place(self, command: m.Place) -> list[m.Event]:
        """Enter an order, or refuse it."""
        order = NaiveOrder(
            command.symbol_id,
            command.order_id,
            command.account_id,
            command.side,
            command.price_ticks,
            command.quantity_lots,
            command.quantity_lots,
            self.sequence,
            command.post_only,
            command.self_trade,
        )
        code = self.place_refusal(command, order)
        if code:
            return [m.OrderRejected(order.order_id, order.account_id, code)]
        accepted = m.OrderAccepted(
            order.order_id, order.account_id, order.side, order.price_ticks, order.quantity_lots
        )
        if command.budget_ticklots:
            trades, end = self.spend(order, command.budget_ticklots)
            return [accepted, *trades, cancelled(order, end)]
        rest_code = ""
        if command.time_in_force != m.GTC:
            rest_code = m.MARKET_REST if command.market else m.IOC_REST
        return [accepted, *self.trade_and_rest(order, rest_code)]

    def place_refusal(self, command: m.Place, order: NaiveOrder) -> str:
        """Return why the order may not enter, or nothing."""
        if command.symbol_id in self.halted:
            return m.SYMBOL_HALTED
        if self.find(command.symbol_id, command.order_id):
            return m.DUPLICATE_ORDER_ID
        if command.post_only and self.matches(order):
            return m.POST_ONLY_WOULD_TAKE
        if command.time_in_force == m.FOK:
            fillable_lots = 0
            for maker in self.matches(order):
                if is_self_trade(order, maker):
                    break
                fillable_lots += maker.left_lots
            if fillable_lots < order.quantity_lots:
                return m.FOK_UNFILLABLE
        return ""

    def trade_and_rest(self, taker: NaiveOrder, rest_code: str) -> list[m.Event]:
        """Trade what trades; the rest rests, or is cancelled where there is a code for that."""
        events: list[m.Event] = []
        while taker.left_lots and (makers := self.matches(taker)):
            if is_self_trade(taker, makers[0]):
                return [*events, cancelled(taker, m.SELF_TRADE)]
            lots = min(taker.left_lots, makers[0].left_lots)
            taker.left_lots -= lots
            events.append(self.trade(taker, makers[0], lots))
        if taker.left_lots and rest_code:
            return [*events, cancelled(taker, rest_code)]
        if taker.left_lots:
            self.open.append(taker)
        return events

    def spend(self, taker: NaiveOrder, budget_ticklots: int) -> tuple[list[m.Event], str]:
        """Trade lot by lot while the budget lasts (trades with one maker are one trade)."""
        events: list[m.Event] = []
        while budget_ticklots:
            makers = self.matches(taker)
            if not makers:
                return events, m.MARKET_REST
            maker, lots = makers[0], 0
            while lots < maker.left_lots and budget_ticklots >= maker.price_ticks:
                lots += 1
                budget_ticklots -= maker.price_ticks
                if is_self_trade(taker, maker):
                    return events, m.SELF_TRADE
            if lots == 0:
                break
            events.append(self.trade(taker, maker, lots))
        return events, m.BUDGET_SPENT

    def trade(self, taker: NaiveOrder, maker: NaiveOrder, lots: int) -> m.Trade:
        """Take the lots off the maker; a filled maker is no longer open."""
        maker.left_lots -= lots
        if maker.left_lots == 0:
            self.open.remove(maker)
        return m.Trade(
            maker_order_id=maker.order_id,
            taker_order_id=taker.order_id,
            maker_account_id=maker.account_id,
            taker_account_id=taker.account_id,
            taker_side=taker.side,
            price_ticks=maker.price_ticks,
            quantity_lots=lots,
            maker_left_lots=maker.left_lots,
            taker_left_lots=taker.left_lots,
        )

    def cancel(self, command: m.Cancel) -> list[m.Event]:
        """Take one order out."""
        order = self.find(command.symbol_id, command.order_id)
        if order is None:
            return [m.CommandRefused(command.command_id, command.order_id, m.NOT_OPEN)]
        self.open.remove(order)
        return [cancelled(order, m.BY_USER)]

    def cancel_all(self, command: m.CancelAll) -> list[m.Event]:
        """Take an account's orders out, oldest first."""
        mine = [
            order
            for order in sorted(self.open, key=lambda order: order.priority)
            if order.symbol_id == command.symbol_id
            and order.account_id == command.account_id
            and command.side in (-1, order.side)
        ]
        self.open = [order for order in self.open if order not in mine]
        return [cancelled(order, m.BY_CANCEL_ALL) for order in mine]

    def amend(self, command: m.Amend) -> list[m.Event]:
        """Give an order new terms, or refuse."""
        order = self.find(command.symbol_id, command.order_id)
        if order is None:
            return [m.CommandRefused(command.command_id, command.order_id, m.NOT_OPEN)]
        price_ticks = command.price_ticks or order.price_ticks
        quantity_lots = command.quantity_lots or order.quantity_lots
        filled_lots = order.quantity_lots - order.left_lots
        code = self.amend_refusal(command, order, price_ticks, quantity_lots)
        if code:
            return [m.CommandRefused(command.command_id, command.order_id, code)]
        amended = m.OrderAmended(
            order_id=order.order_id,
            account_id=order.account_id,
            side=order.side,
            old_price_ticks=order.price_ticks,
            old_left_lots=order.left_lots,
            price_ticks=price_ticks,
            quantity_lots=quantity_lots,
            left_lots=quantity_lots - filled_lots,
            kept_priority=command.keep_priority,
        )
        order.price_ticks = price_ticks
        order.quantity_lots = quantity_lots
        order.left_lots = quantity_lots - filled_lots
        if command.keep_priority:
            return [amended]
        self.open.remove(order)
        order.priority = self.sequence
        return [amended, *self.trade_and_rest(order, rest_code="")]

    def amend_refusal(
        self, command: m.Amend, order: NaiveOrder, price_ticks: int, quantity_lots: int
    ) -> str:
        """Return why the order may not have these terms, or nothing."""
        if command.symbol_id in self.halted:
            return m.SYMBOL_HALTED
        if quantity_lots <= order.quantity_lots - order.left_lots:
            return m.AMEND_BELOW_FILLED
        if command.keep_priority:
            if price_ticks != order.price_ticks or quantity_lots >= order.quantity_lots:
                return m.NO_PRIORITY_KEPT
            return ""
        as_it_would_be = NaiveOrder(**{**vars(order), "price_ticks": price_ticks})
        if order.post_only and self.matches(as_it_would_be):
            return m.AMEND_WOULD_TAKE
        return ""

    def set_state(self, command: m.SetState) -> list[m.Event]:
        """Halt or resume a symbol."""
        if command.state == m.HALT:
            self.halted.add(command.symbol_id)
        else:
            self.halted.discard(command.symbol_id)
        return [m.StateChanged(command.symbol_id, command.state)]


def is_self_trade(taker: NaiveOrder, maker: NaiveOrder) -> bool:
    """Tell whether the taker's self-trade rule forbids this match."""
    return taker.account_id == maker.account_id and taker.self_trade == m.STP_CANCEL_INCOMING


def cancelled(order: NaiveOrder, code: str) -> m.OrderCancelled:
    """Return the event of an order's end."""
    return m.OrderCancelled(
        order.order_id, order.account_id, order.side, order.price_ticks, order.left_lots, code
    )
