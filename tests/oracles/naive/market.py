"""One symbol of the naive engine: the book, trading, triggers, lists, auctions, bands."""

from matching.engine import codes as c
from matching.engine import messages as m
from tests.oracles.naive.order import PENDING, TRIGGERED, WATCHING, NaiveOrder, naive_order

GATHERING = (m.PRE_OPEN, m.AUCTION, m.AUCTION_CUTOFF)
PPM = 1_000_000


class NaiveList:
    """Linked orders: a parent and its children, or without a parent an OCO."""

    def __init__(self, parent: NaiveOrder | None, orders: list[NaiveOrder]) -> None:
        self.parent = parent
        self.orders = orders


class NaiveMarket:
    """The book of one symbol and its state, without any index."""

    def __init__(self, symbol_id: int) -> None:
        self.symbol_id = symbol_id
        self.state = m.OPEN
        self.sequence = 0
        self.places = 0
        self.now_ms = 0
        self.orders: list[NaiveOrder] = []
        self.waiting: list[NaiveOrder] = []
        self.triggered: list[NaiveOrder] = []
        self.cancels: list[tuple[int, str]] = []
        self.lists: list[NaiveList] = []
        self.at_open: list[NaiveOrder] = []
        self.out: list[m.Event] = []
        self.last_ticks = 0
        self.is_last_fresh = False
        self.features: set[int] = set()
        self.band: m.SetBand | None = None
        self.reference_ticks = 0
        self.moved_ms = 0
        self.phase = m.PHASE_NONE
        self.due_ms = 0
        self.trades: list[tuple[int, int]] = []
        self.is_advanced = False
        self.state_after: int | None = None
        self.auction_ticks = self.auction_lots = 0

    # --- the book

    def find(self, order_id: int) -> NaiveOrder | None:
        """Return the order of that id in the book, or None."""
        return next((order for order in self.orders if order.order_id == order_id), None)

    def find_waiting(self, order_id: int) -> NaiveOrder | None:
        """Return the waiting order of that id, or None."""
        return next((order for order in self.waiting if order.order_id == order_id), None)

    def queue(self, side: int) -> list[NaiveOrder]:
        """Return a side's orders: best price first, then oldest place."""
        sign = -1 if side == m.BUY else 1
        found = [order for order in self.orders if order.side == side]
        return sorted(found, key=lambda order: (sign * order.price_ticks, order.place))

    def matches(self, taker: NaiveOrder) -> list[NaiveOrder]:
        """Return the orders that the taker may trade with, best first."""
        return [o for o in self.queue(1 - taker.side) if taker.accepts(o.price_ticks)]

    def best(self, side: int) -> int:
        """Return a side's best price, 0 where it is empty."""
        queue = self.queue(side)
        return queue[0].price_ticks if queue else 0

    def rest(self, order: NaiveOrder) -> None:
        """Put an order at the back of its queue."""
        self.places += 1
        order.place = self.places
        order.shown_lots = min(order.left_lots, order.display_lots or order.left_lots)
        self.orders.append(order)

    def fill(self, order: NaiveOrder, lots: int) -> bool:
        """Take lots off an order in the book; return whether it shows its next slice now."""
        order.left_lots -= lots
        order.shown_lots -= lots
        if order.shown_lots:
            return False
        self.orders.remove(order)
        if order.left_lots:
            order.first_age = order.first_age or order.age
            order.age = self.sequence
            self.rest(order)
        return order.left_lots > 0

    def refreshed(self, order: NaiveOrder) -> None:
        hidden = order.left_lots - order.shown_lots
        self.out.append(
            m.OrderRefreshed(order.order_id, order.account_id, order.shown_lots, hidden)
        )

    # --- trading

    def low(self) -> int:
        """Return the lowest price inside the band."""
        assert self.band is not None
        exact = self.reference_ticks * (PPM - self.band.band_ppm)
        return max(1, exact // PPM + (exact % PPM > 0))

    def high(self) -> int:
        """Return the highest price inside the band."""
        assert self.band is not None
        return self.reference_ticks * (PPM + self.band.band_ppm) // PPM

    def inside(self, price: int) -> int:
        """Return the price, moved to the nearest edge of the band if it is outside."""
        if self.band is None or not self.reference_ticks:
            return price
        return max(self.low(), min(price, self.high()))

    def takes(self, taker: NaiveOrder) -> list[NaiveOrder]:
        """Return the orders that the taker trades with at prices that limit and band allow."""
        makers = [o for o in self.matches(taker) if taker.accepts(self.inside(o.price_ticks))]
        if not taker.command.market or self.band is None or not self.reference_ticks:
            return makers
        if taker.side == m.BUY:
            return [maker for maker in makers if maker.price_ticks <= self.high()]
        return [maker for maker in makers if maker.price_ticks >= self.low()]

    def take(self, taker: NaiveOrder) -> bool:
        """Trade the taker; return whether self-trade prevention ends it."""
        while taker.left_lots and (makers := self.takes(taker)):
            lots = min(taker.left_lots, makers[0].shown_lots)
            if taker.same_owner(makers[0]):
                if self.prevent(taker, makers[0], lots):
                    return True
                continue
            taker.left_lots -= lots
            self.trade(taker, makers[0], lots)
        return False

    def spend(self, taker: NaiveOrder, budget: int) -> str:
        """Trade while the budget buys a lot; return the code of the order's end."""
        spent = m.BUDGET_SPENT
        while budget:
            makers = self.takes(taker)
            if not makers:
                return m.MARKET_REST
            price = self.inside(makers[0].price_ticks)
            lots = min(makers[0].shown_lots, budget // price)
            if lots == 0:
                return spent
            if taker.same_owner(makers[0]):
                if self.prevent(taker, makers[0], lots):
                    return m.SELF_TRADE
                if taker.command.self_trade == m.STP_CANCEL_RESTING:
                    continue
                spent = m.SELF_TRADE
            else:
                self.trade(taker, makers[0], lots)
                spent = m.BUDGET_SPENT
            budget -= lots * price
        return spent

    def trade(self, taker: NaiveOrder, maker: NaiveOrder, lots: int) -> None:
        price = self.inside(maker.price_ticks)
        is_refreshed = self.fill(maker, lots)
        event = self.traded(maker, taker, price, lots)
        event.maker_price_ticks = maker.price_ticks if price != maker.price_ticks else 0
        self.out.append(event)
        if is_refreshed:
            self.refreshed(maker)

    def traded(self, maker: NaiveOrder, taker: NaiveOrder, price: int, lots: int) -> m.Trade:
        return m.Trade(
            maker_order_id=maker.order_id,
            taker_order_id=taker.order_id,
            maker_account_id=maker.account_id,
            taker_account_id=taker.account_id,
            taker_side=taker.side,
            price_ticks=price,
            quantity_lots=lots,
            maker_left_lots=maker.left_lots,
            taker_left_lots=taker.left_lots,
        )

    def prevent(self, taker: NaiveOrder, maker: NaiveOrder, lots: int) -> bool:
        """Apply the taker's self-trade mode instead of a match; return whether the taker ends."""
        mode = taker.command.self_trade
        price = self.inside(maker.price_ticks)
        if mode == m.STP_DECREMENT and self.releases_others(maker):
            # Its fills pay for its children, so it loses no lots.
            incoming = m.STP_CANCEL_INCOMING
            self.out.append(self.prevented(maker, taker, price, lots, incoming))
            return True
        if mode != m.STP_CANCEL_INCOMING or m.FEATURE_REPORT_PREVENTED in self.features:
            self.out.append(self.prevented(maker, taker, price, lots, mode))
        if mode == m.STP_CANCEL_INCOMING:
            return True
        if mode in (m.STP_CANCEL_RESTING, m.STP_CANCEL_BOTH):
            self.orders.remove(maker)
            self.out.append(maker.cancelled(m.SELF_TRADE))
            return mode == m.STP_CANCEL_BOTH
        before = maker.left_lots
        if before == lots:
            self.orders.remove(maker)
            self.out.append(maker.cancelled(m.SELF_TRADE))
        else:
            maker.quantity_lots -= lots
            is_refreshed = self.fill(maker, lots)
            self.out.append(maker.shrunk(before, kept=not is_refreshed))
            if is_refreshed:
                self.refreshed(maker)
        if taker.command.budget_ticklots:
            return False
        if taker.left_lots == lots:
            return True
        taker.left_lots -= lots
        taker.quantity_lots -= lots
        self.out.append(taker.shrunk(taker.left_lots + lots, kept=False))
        return False

    def prevented(
        self, maker: NaiveOrder, taker: NaiveOrder, price: int, lots: int, mode: int
    ) -> m.SelfTradePrevented:
        return m.SelfTradePrevented(
            maker.order_id,
            taker.order_id,
            maker.account_id,
            taker.account_id,
            taker.side,
            price,
            lots,
            mode,
        )

    def is_fillable(self, order: NaiveOrder) -> bool:
        """Tell whether all of an order would trade now, by counting copies of the makers' lots."""
        missing = order.left_lots
        queue = [(o, o.shown_lots, o.left_lots - o.shown_lots) for o in self.matches(order)]
        while queue and missing > 0:
            price = queue[0][0].price_ticks
            level = [entry for entry in queue if entry[0].price_ticks == price]
            queue = queue[len(level) :]
            while level and missing > 0:
                maker, shown, hidden = level.pop(0)
                if order.same_owner(maker):
                    if order.command.self_trade == m.STP_CANCEL_RESTING:
                        continue
                    return False
                missing -= shown
                if hidden:
                    more = min(hidden, maker.display_lots)
                    level.append((maker, more, hidden - more))
        return missing <= 0

    # --- ends

    def end(self, order_id: int, code: str) -> bool:
        """End an open order wherever it is."""
        for place in (self.orders, self.waiting):
            for order in place:
                if order.order_id == order_id:
                    place.remove(order)
                    self.out.append(order.cancelled(code))
                    return True
        return False

    def open_ids(self, account_id: int, side: int, tag: int) -> list[int]:
        """Return ids of open orders: the book's first, each kind oldest first."""
        found: list[int] = []
        for orders in (self.orders, self.waiting):
            for order in sorted(orders, key=lambda order: (order.age, order.order_id)):
                mine = account_id in (m.ALL_ACCOUNTS, order.account_id)
                if mine and side in (-1, order.side) and tag in (0, order.command.owner_tag):
                    found.append(order.order_id)
        return found

    def all_ids(self, side: int) -> list[int]:
        """Return ids of everyone's open orders: the best buys first, then sells, then waiting."""
        found = [*self.queue(m.BUY), *self.queue(m.SELL)]
        found += sorted(self.waiting, key=lambda order: order.order_id)
        return [order.order_id for order in found if side in (-1, order.side)]

    # --- triggers

    def source_ticks(self, order: NaiveOrder) -> int:
        """Return the price that an order watches, 0 without a valid one."""
        if self.state != m.OPEN:
            return 0
        if order.terms.source == m.SOURCE_LAST:
            return self.last_ticks if self.is_last_fresh else 0
        return self.best(1 - order.side)

    def watch(self, order: NaiveOrder) -> None:
        """Let an order watch for its trigger price from now on."""
        order.stage = WATCHING
        order.stop_ticks = order.terms.stop_ticks
        price = self.source_ticks(order)
        if price:
            order.follow(price)
        self.out.append(
            m.OrderWaiting(order.order_id, order.account_id, order.side, order.stop_ticks)
        )
        if price and order.is_reached(price):
            self.trigger(order, price)

    def trigger(self, order: NaiveOrder, at_ticks: int) -> None:
        order.stage = TRIGGERED
        order.at_ticks = at_ticks
        self.triggered.append(order)

    def seen(self, price: int, kind: tuple[int, int | None]) -> None:
        """Trigger the orders that a price reaches; `kind` is (source, order side, None: both)."""
        source, side = kind
        reached = []
        for order in self.waiting:
            if order.stage == WATCHING and order.terms.source == source:
                if side not in (None, order.side):
                    continue
                order.follow(price)
                if order.is_reached(price):
                    reached.append(order)
        reached.sort(key=lambda o: (-abs(price - o.stop_ticks), o.age, o.order_id))
        for order in reached:
            self.trigger(order, price)

    # --- lists

    def list_of(self, order_id: int) -> NaiveList | None:
        for one in self.lists:
            if any(order.order_id == order_id for order in one.orders):
                return one
        return None

    def releases_others(self, order: NaiveOrder) -> bool:
        one = self.list_of(order.order_id)
        return one is not None and one.parent is not None and one.parent.order_id == order.order_id

    def list_traded(self, order_id: int, is_filled: bool) -> list[NaiveOrder]:
        """End the other order of an OCO, or return the children that the fill releases."""
        one = self.list_of(order_id)
        if one is None:
            return []
        if one.parent is None:
            self.dissolve(one, order_id, c.LIST_OTHER_TRADED)
        elif one.parent.order_id == order_id and is_filled:
            children = [order for order in one.orders if order is not one.parent]
            one.parent, one.orders = None, list(children)
            if len(children) == 1:
                self.lists.remove(one)
            return children
        return []

    def release(self, child: NaiveOrder) -> None:
        if child.waits:
            self.watch(child)
        else:
            self.trigger(child, 0)

    def list_ended(self, order_id: int) -> None:
        one = self.list_of(order_id)
        if one is None:
            return
        if one.parent is None or one.parent.order_id == order_id:
            self.dissolve(one, order_id, c.LIST_OTHER_ENDED)
            return
        one.orders = [order for order in one.orders if order.order_id != order_id]
        if len(one.orders) == 1:
            self.lists.remove(one)

    def dissolve(self, one: NaiveList, order_id: int, code: str) -> None:
        self.lists.remove(one)
        for order in one.orders:
            if order.order_id != order_id:
                self.end(order.order_id, code)

    def wait_outside(self, command: m.Place) -> NaiveOrder:
        """Add an order to the waiting ones and return it."""
        order = naive_order(command, self.sequence)
        order.stage = PENDING
        self.waiting.append(order)
        return order
