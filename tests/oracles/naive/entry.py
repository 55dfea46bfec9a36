"""The naive engine's commands, and the follow-up of each step."""

from matching.engine import codes as c
from matching.engine import messages as m
from tests.oracles.naive.market import GATHERING, NaiveList
from tests.oracles.naive.order import PENDING, NaiveOrder, naive_order
from tests.oracles.naive.session import NaiveSession

TRAILING_MAX = 2_000
CANCELS_AT_ONCE_MAX = 2_000


class NaiveEntry(NaiveSession):
    """A symbol that applies commands."""

    def __init__(self, symbol_id: int) -> None:
        super().__init__(symbol_id)
        self.cancel_after: dict[tuple[int, int], int] = {}
        self.limits: dict[int, tuple[int, int]] = {}

    def apply(self, command: m.Command, sequence: int) -> list[m.Event]:
        """Apply one command and its whole cascade; return the events."""
        self.out = []
        self.sequence = sequence
        if self.opens_advanced(command):
            self.is_advanced = True
        self.now_ms = max(self.now_ms, command.time_ms) if self.is_advanced else 0
        self.handle(command)
        self.follow(0)
        while self.has_work():
            start = len(self.out)
            self.step()
            self.follow(start)
        return self.out

    def has_work(self) -> bool:
        """Tell whether the cascade goes on; triggered orders that have ended are forgotten."""
        self.triggered = [order for order in self.triggered if order in self.waiting]
        return bool(self.cancels or self.triggered or self.state_after is not None)

    def opens_advanced(self, command: m.Command) -> bool:
        """Tell whether the symbol has advanced state from this command on."""
        match command:
            case m.Place():
                return command.terms is not None
            case m.CancelAll():
                mine = [o for o in self.orders if o.account_id == command.account_id]
                return command.account_id == m.ALL_ACCOUNTS or len(mine) > CANCELS_AT_ONCE_MAX
            case m.SetState():
                return command.state not in (m.OPEN, m.HALT)
            case m.Amend():
                return command.display_lots > 0
            case m.Cancel() | m.RefuseFaulty():
                return False
        return True

    def handle(self, command: m.Command) -> None:  # noqa: C901 one case a command
        match command:
            case m.Place():
                self.place(command)
            case m.PlaceList():
                self.place_list(command)
            case m.Cancel():
                self.cancel(command)
            case m.Amend():
                self.amend(command)
            case m.CancelAll():
                self.cancel_all(command)
            case m.SetState():
                self.set_state(command)
            case m.Expire():
                self.expire(command)
            case m.CancelAfter():
                self.cancel_after[command.account_id, command.owner_tag] = command.due_ms
                self.done(command)
            case m.SetLimits():
                limits = (command.open_orders_max, command.stop_orders_max)
                self.limits[command.account_id] = limits
                self.done(command)
            case m.SetBand():
                self.set_band(command)
                self.done(command)
            case m.SetFeature():
                self.set_feature(command)
            case m.RefuseFaulty(is_place=True):
                self.out.append(m.OrderRejected(command.order_id, 0, m.ENGINE_FAULT))
            case m.RefuseFaulty():
                self.refuse(command.command_id, command.order_id, m.ENGINE_FAULT)

    def step(self) -> None:
        """Do the next step of the cascade."""
        if self.cancels:
            self.end(*self.cancels.pop(0))
        elif self.state_after is not None:
            self.uncross()
        else:
            order = self.triggered.pop(0)
            self.waiting.remove(order)
            self.come_in(order)

    def follow(self, start: int) -> None:
        """Handle the events of a step: lists, the last price, bands, triggers."""
        prices = []
        released = []
        at = start
        while at < len(self.out):
            event = self.out[at]
            at += 1
            if isinstance(event, m.Trade):
                prices.append(event.price_ticks)
                children = self.list_traded(event.maker_order_id, event.maker_left_lots == 0)
                children += self.list_traded(event.taker_order_id, event.taker_left_lots == 0)
                released += [(child, event.price_ticks) for child in children]
            elif isinstance(event, m.OrderCancelled):
                self.list_ended(event.order_id)
        if not self.is_advanced or self.state != m.OPEN or self.state_after is not None:
            for child, _ in released:
                self.release(child)
            return
        self.trades += [(self.now_ms // 5_000, price) for price in prices]
        self.see_trades(prices, released)
        self.follow_band(start)
        for side in (m.SELL, m.BUY):  # sells watch the best bid, buys the best ask
            if self.best(1 - side):
                self.seen(self.best(1 - side), (m.SOURCE_BEST, side))

    def see_trades(self, prices: list[int], released: list[tuple[NaiveOrder, int]]) -> None:
        """Show waiting orders the first price, released ones their own, then all the last price."""
        if not prices:
            return
        self.last_ticks, self.is_last_fresh = prices[0], True
        self.seen(prices[0], (m.SOURCE_LAST, None))
        for child, price in released:
            self.last_ticks = price
            self.release(child)
        self.last_ticks = prices[-1]
        if prices[-1] != prices[0]:
            self.seen(prices[-1], (m.SOURCE_LAST, None))

    # --- new orders

    def place(self, command: m.Place) -> None:
        order = naive_order(command, self.sequence)
        code = self.entry_refusal(command, []) or self.book_refusal(order, order.waits)
        if code:
            self.out.append(m.OrderRejected(order.order_id, order.account_id, code))
            return
        self.accept(order)
        if order.waits:
            self.watch(self.wait_outside(command))
        else:
            self.run(order)

    def accept(self, order: NaiveOrder) -> None:
        self.out.append(
            m.OrderAccepted(
                order.order_id,
                order.account_id,
                order.side,
                order.price_ticks,
                order.quantity_lots,
            )
        )

    def place_list(self, command: m.PlaceList) -> None:
        orders = [naive_order(place, self.sequence) for place in command.orders]
        codes = []
        for number, order in enumerate(orders):
            is_child = command.kind != m.OCO and number > 0
            code = self.entry_refusal(order.command, orders[:number], is_child=is_child)
            codes.append(code or ("" if is_child else self.book_refusal(order, order.waits)))
        if any(codes):
            for order, code in zip(orders, codes, strict=True):
                self.out.append(
                    m.OrderRejected(order.order_id, order.account_id, code or c.LIST_REFUSED)
                )
            return
        ids = [order.order_id for order in orders]
        self.out.append(m.ListAccepted(command.list_id, command.kind, ids))
        for order in orders:
            self.accept(order)
        self.enter_list(command, orders)

    def enter_list(self, command: m.PlaceList, orders: list[NaiveOrder]) -> None:
        children = orders if command.kind == m.OCO else orders[1:]
        for order in orders:
            if order.waits or (command.kind != m.OCO and order in children):
                order.stage = PENDING
                self.waiting.append(order)
        self.lists.append(NaiveList(None if command.kind == m.OCO else orders[0], list(orders)))
        now = []
        for order in orders:
            if command.kind != m.OCO and order in children:
                self.out.append(m.OrderWaiting(order.order_id, order.account_id, order.side, 0))
            elif order.waits:
                self.watch(order)
            else:
                now.append(order)
        for order in now:
            self.run(order)

    def entry_refusal(
        self, command: m.Place, before: list[NaiveOrder], *, is_child: bool = False
    ) -> str:
        """Return why an order is refused, or ''; `before` are the earlier orders of its list."""
        waits = bool(command.terms and command.terms.trigger)
        code = self.state_refusal(command, waits)
        if code:
            return code
        if self.find(command.order_id) or self.find_waiting(command.order_id):
            return m.DUPLICATE_ORDER_ID
        if command.terms and 0 < command.terms.expire_ms <= command.time_ms:
            return c.EXPIRED_AT_ENTRY
        is_trailing = command.terms is not None and command.terms.trigger == m.TRIGGER_TRAILING
        trailing = sum(order.is_trailing for order in self.waiting + before)
        if is_trailing and trailing >= TRAILING_MAX:
            return c.TRAILING_ORDERS_MAX
        in_auction = command.market and self.state in (m.AUCTION, m.AUCTION_CUTOFF)
        if command.time_in_force != m.GTC and not waits and not in_auction:
            return ""
        # All orders before a child, except the first, are children too.
        waiting_before = sum(
            order.waits or (is_child and number > 0) for number, order in enumerate(before)
        )
        account = command.account_id
        waiting = sum(order.account_id == account for order in self.waiting)
        resting = sum(order.account_id == account for order in self.orders)
        general = self.limits.get(m.ALL_ACCOUNTS, (0, 0))
        open_max, stops_max = self.limits.get(account, general)
        if open_max and waiting + resting + len(before) >= open_max:
            return c.OPEN_ORDERS_MAX
        if stops_max and (waits or is_child) and waiting + waiting_before >= stops_max:
            return c.STOP_ORDERS_MAX
        return ""

    def state_refusal(self, command: m.Place, waits: bool) -> str:
        is_gtc = command.time_in_force == m.GTC
        taken = {
            m.OPEN: True,
            m.PRE_OPEN: waits or is_gtc,
            m.AUCTION: waits or is_gtc or (command.market and not command.budget_ticklots),
            m.POST_ONLY: command.post_only and not waits,
        }
        taken[m.AUCTION_CUTOFF] = taken[m.AUCTION]
        return "" if taken.get(self.state, False) else self.state_code()

    def state_code(self) -> str:
        return {
            m.HALT: m.SYMBOL_HALTED,
            m.PRE_OPEN: c.SYMBOL_PRE_OPEN,
            m.AUCTION: c.SYMBOL_IN_AUCTION,
            m.AUCTION_CUTOFF: c.SYMBOL_IN_AUCTION,
            m.POST_ONLY: c.SYMBOL_POST_ONLY,
            m.CANCEL_ONLY: c.SYMBOL_CANCEL_ONLY,
            m.CLOSED: c.SYMBOL_CLOSED,
        }[self.state]

    def book_refusal(self, order: NaiveOrder, waits: bool) -> str:
        """Return why the present book refuses an order, or ''; it may reprice the order."""
        command = order.command
        if waits or self.state in GATHERING:
            return ""
        if command.post_only and self.matches(order):
            best = self.best(1 - order.side)
            price = best - 1 if order.side == m.BUY else best + 1
            furthest = order.terms.reprice_limit_ticks
            if not order.terms.reprice or price < 1:
                return m.POST_ONLY_WOULD_TAKE
            if furthest and (price < furthest if order.side == m.BUY else price > furthest):
                return m.POST_ONLY_WOULD_TAKE
            order.price_ticks = price
        if not command.market and self.band_refuses(order):
            return c.PRICE_OUTSIDE_BAND
        if command.time_in_force == m.FOK and not self.is_fillable(order):
            return m.FOK_UNFILLABLE
        return ""

    def run(self, order: NaiveOrder) -> None:
        """Let an order trade, and then rest or end."""
        command = order.command
        if self.state != m.OPEN:
            if command.market:
                self.at_open.append(order)
            self.rest(order)
            return
        if command.budget_ticklots:
            code = self.spend(order, command.budget_ticklots)
        elif self.take(order):
            code = m.SELF_TRADE
        elif order.left_lots == 0:
            return
        elif command.time_in_force == m.GTC:
            self.rest(order)
            return
        else:
            code = m.MARKET_REST if command.market else m.IOC_REST
        # If its bound accepts orders that it did not trade with, the band stopped it.
        if command.market and code == m.MARKET_REST and self.matches(order):
            code = c.BAND_REST
        self.out.append(order.cancelled(code))

    def come_in(self, waiting: NaiveOrder) -> None:
        """Let a triggered order enter, or end with a code."""
        self.out.append(
            m.OrderTriggered(waiting.order_id, waiting.account_id, waiting.side, waiting.at_ticks)
        )
        one = self.list_of(waiting.order_id)
        if waiting.at_ticks and one and one.parent is None:
            self.dissolve(one, waiting.order_id, c.LIST_OTHER_TRADED)
        order = naive_order(waiting.command, self.sequence)
        asked = order.price_ticks = waiting.bound_ticks
        code = self.state_refusal(order.command, False) or self.book_refusal(order, False)
        if code:
            order.price_ticks = asked
            self.out.append(order.cancelled(code))
            return
        if order.price_ticks != asked:
            self.out.append(
                m.OrderRepriced(
                    order.order_id,
                    order.account_id,
                    order.side,
                    asked,
                    order.price_ticks,
                    order.command.quantity_lots,
                )
            )
        self.run(order)
