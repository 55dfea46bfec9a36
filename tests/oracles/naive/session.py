"""The naive engine's cancels, amends, market states, auctions and bands."""

from dataclasses import replace

import msgspec

from matching.engine import codes as c
from matching.engine import messages as m
from tests.oracles.naive.market import GATHERING, PPM, NaiveMarket
from tests.oracles.naive.order import PENDING, WATCHING, NaiveOrder

DUE_MAX = 5_000


class NaiveSession(NaiveMarket):
    """A symbol's cancels, amends, expiry, market states, auctions and bands."""

    cancel_after: dict[tuple[int, int], int]

    def done(self, command: m.Command) -> None:
        self.out.append(m.CommandDone(command.command_id, self.symbol_id))

    def refuse(self, command_id: int, order_id: int, code: str) -> None:
        self.out.append(m.CommandRefused(command_id, order_id, code))

    def state_code(self) -> str:
        raise NotImplementedError

    # --- cancels and expiry

    def cancel_refusal(self) -> str:
        if self.state == m.AUCTION_CUTOFF:
            return c.SYMBOL_IN_AUCTION
        if self.state == m.HALT and m.FEATURE_HALT_KEEPS_ORDERS in self.features:
            return m.SYMBOL_HALTED
        return ""

    def cancel(self, command: m.Cancel) -> None:
        order_id = command.order_id
        if not self.find(order_id) and not self.find_waiting(order_id):
            self.refuse(command.command_id, order_id, m.NOT_OPEN)
        elif code := self.cancel_refusal():
            self.refuse(command.command_id, order_id, code)
        else:
            self.end(order_id, m.BY_USER)

    def cancel_all(self, command: m.CancelAll) -> None:
        code = self.cancel_refusal()
        if code and command.account_id != m.ALL_ACCOUNTS:
            self.refuse(command.command_id, 0, code)
            return
        ids = self.open_ids(command.account_id, command.side, command.owner_tag)
        if command.account_id == m.ALL_ACCOUNTS and not command.owner_tag:
            ids = self.all_ids(command.side)
        self.cancels += [(order_id, m.BY_CANCEL_ALL) for order_id in ids]

    def expire(self, command: m.Expire) -> None:
        if command.order_id:
            order = self.find(command.order_id) or self.find_waiting(command.order_id)
            if order is None:
                self.refuse(command.command_id, command.order_id, m.NOT_OPEN)
            elif 0 < order.terms.expire_ms <= command.time_ms:
                self.end(order.order_id, c.EXPIRED)
            else:
                self.refuse(command.command_id, command.order_id, c.NOT_DUE)
            return
        due = [o for o in self.orders + self.waiting if o.terms.expire_ms]
        for order in sorted(due, key=lambda order: (order.terms.expire_ms, order.order_id)):
            if order.terms.expire_ms <= command.time_ms and len(self.cancels) < DUE_MAX:
                self.cancels.append((order.order_id, c.EXPIRED))
        for (account, tag), due_ms in sorted(self.cancel_after.items()):
            if 0 < due_ms <= command.time_ms and len(self.cancels) < DUE_MAX:
                self.cancel_after[account, tag] = 0
                self.cancels += [
                    (one, c.BY_CANCEL_AFTER) for one in self.open_ids(account, -1, tag)
                ]
        self.done(command)
        self.next_phase()

    def set_feature(self, command: m.SetFeature) -> None:
        if command.feature not in m.FEATURES:
            self.refuse(command.command_id, 0, c.FEATURE_UNKNOWN)
            return
        self.features.discard(command.feature)
        if command.is_on:
            self.features.add(command.feature)
        self.done(command)

    # --- amends

    def amend(self, command: m.Amend) -> None:
        order = self.find(command.order_id)
        waiting = self.find_waiting(command.order_id)
        if order is not None:
            code = self.amend_refusal(command, order)
        elif waiting is not None:
            code = self.amend_waiting_refusal(command, waiting)
        else:
            code = m.NOT_OPEN
        if code:
            self.refuse(command.command_id, command.order_id, code)
        elif order is not None:
            self.amend_resting(command, order)
        elif waiting is not None:
            self.amend_waiting(command, waiting)

    def amend_refusal(self, command: m.Amend, order: NaiveOrder) -> str:
        price = command.price_ticks or order.price_ticks
        quantity = command.quantity_lots or order.quantity_lots
        if self.state not in (m.OPEN, m.POST_ONLY, m.PRE_OPEN, m.AUCTION):
            return self.state_code()
        if command.stop_ticks:
            return c.AMEND_NO_TRIGGER
        if command.display_lots and order.command.market:
            return c.AMEND_NO_DISPLAY
        if quantity <= order.quantity_lots - order.left_lots:
            return m.AMEND_BELOW_FILLED
        if command.keep_priority:
            is_smaller = price == order.price_ticks and quantity < order.quantity_lots
            return "" if is_smaller and not command.display_lots else m.NO_PRIORITY_KEPT
        if self.state in GATHERING:
            return ""
        at_price = replace(order, price_ticks=price)
        if (order.command.post_only or self.state == m.POST_ONLY) and self.matches(at_price):
            return m.POST_ONLY_WOULD_TAKE
        if command.price_ticks and self.band_refuses(at_price):
            return c.PRICE_OUTSIDE_BAND
        return ""

    def amend_resting(self, command: m.Amend, order: NaiveOrder) -> None:
        old_price, old_left = order.price_ticks, order.left_lots
        quantity = command.quantity_lots or order.quantity_lots
        order.left_lots += quantity - order.quantity_lots
        order.quantity_lots = quantity
        order.price_ticks = command.price_ticks or old_price
        order.display_lots = command.display_lots or order.display_lots
        self.out.append(
            m.OrderAmended(
                order_id=order.order_id,
                account_id=order.account_id,
                side=order.side,
                old_price_ticks=old_price,
                old_left_lots=old_left,
                price_ticks=order.price_ticks,
                quantity_lots=quantity,
                left_lots=order.left_lots,
                kept_priority=command.keep_priority,
                display_lots=order.display_lots,
            )
        )
        if command.keep_priority:
            # The hidden part goes first.
            order.shown_lots = min(order.shown_lots, order.left_lots)
            return
        self.orders.remove(order)
        order.age, order.first_age = self.sequence, 0
        if self.state == m.OPEN and self.take(order):
            self.out.append(order.cancelled(m.SELF_TRADE))
        elif order.left_lots:
            self.rest(order)

    def amend_waiting_refusal(self, command: m.Amend, order: NaiveOrder) -> str:
        if self.state not in (m.OPEN, m.POST_ONLY, m.PRE_OPEN, m.AUCTION):
            return self.state_code()
        fixed = order.terms.trigger in (m.TRIGGER_STOP, m.TRIGGER_TAKE)
        if command.stop_ticks and not fixed:
            return c.AMEND_NO_TRIGGER
        place = order.command
        if command.display_lots and (place.market or place.time_in_force != m.GTC):
            return c.AMEND_NO_DISPLAY
        if command.keep_priority or (command.quantity_lots and place.budget_ticklots):
            return m.NO_PRIORITY_KEPT
        return ""

    def amend_waiting(self, command: m.Amend, order: NaiveOrder) -> None:
        old = order.command
        terms = msgspec.structs.replace(
            order.terms,
            stop_ticks=command.stop_ticks or order.terms.stop_ticks,
            display_lots=command.display_lots or order.terms.display_lots,
        )
        order.command = msgspec.structs.replace(
            old,
            price_ticks=command.price_ticks or old.price_ticks,
            quantity_lots=command.quantity_lots or old.quantity_lots,
            terms=terms,
        )
        order.price_ticks = order.command.price_ticks
        order.quantity_lots = order.left_lots = order.command.quantity_lots
        order.age = self.sequence
        self.out.append(
            m.OrderAmended(
                order_id=order.order_id,
                account_id=order.account_id,
                side=order.side,
                old_price_ticks=old.price_ticks,
                old_left_lots=old.quantity_lots,
                price_ticks=order.price_ticks,
                quantity_lots=order.quantity_lots,
                left_lots=order.left_lots,
                kept_priority=False,
                stop_ticks=terms.stop_ticks,
                display_lots=terms.display_lots,
            )
        )
        if command.stop_ticks and order.stage == WATCHING:
            self.watch(order)
        assert order.stage != PENDING or order.stop_ticks == 0

    # --- states and auctions

    def set_state(self, command: m.SetState) -> None:
        if self.state == m.CLOSED and command.state != m.CLOSED:
            self.refuse(command.command_id, 0, c.SYMBOL_CLOSED)
            return
        if self.phase:
            self.set_phase(m.PHASE_NONE, 0)
        self.move(command.state)

    def move(self, state: int) -> None:
        crossed = 0 < self.best(m.SELL) <= self.best(m.BUY)
        if state in (m.OPEN, m.POST_ONLY) and (self.state in GATHERING or crossed):
            self.state_after = state
            self.auction_ticks = self.auction_lots = 0
        else:
            self.enter(state)

    def enter(self, state: int) -> None:
        self.state = state
        if state != m.OPEN:
            self.is_last_fresh = False
        self.out.append(m.StateChanged(self.symbol_id, state))
        if state == m.CLOSED:
            self.cancels += [(order_id, c.SYMBOL_CLOSED) for order_id in self.all_ids(-1)]
        elif state not in (m.AUCTION, m.AUCTION_CUTOFF):
            called_off = sorted(one.order_id for one in self.at_open if one in self.orders)
            self.cancels += [(order_id, self.state_code()) for order_id in called_off]
            self.at_open = []

    def counting_lots(self) -> dict[int, int]:
        """Return by order id the lots that count for an auction's price, playing it on copies."""
        rehearsal = NaiveSession(self.symbol_id)
        rehearsal.orders = [replace(order) for order in self.orders]
        rehearsal.places = self.places
        left = {order.order_id: order.left_lots for order in rehearsal.orders}
        while pair := rehearsal.pair():
            older, younger, lots = pair
            if younger.same_owner(older):
                left[younger.order_id] -= younger.left_lots
                rehearsal.orders.remove(younger)
            else:
                for order in (older, younger):
                    rehearsal.fill(order, lots)
        return left

    def pair(self) -> tuple[NaiveOrder, NaiveOrder, int] | None:
        """Return the two orders that meet next, the older one first, and the lots they show."""
        bids, asks = self.queue(m.BUY), self.queue(m.SELL)
        if not bids or not asks or bids[0].price_ticks < asks[0].price_ticks:
            return None
        older, younger = sorted((bids[0], asks[0]), key=lambda order: order.seniority)
        return older, younger, min(older.shown_lots, younger.shown_lots)

    def auction_price(self) -> tuple[int, int, int]:
        """Return price, volume and surplus, by trying every price."""
        lots = self.counting_lots()
        counting = [order for order in self.orders if lots[order.order_id]]
        best_bid = max((o.price_ticks for o in counting if o.side == m.BUY), default=0)
        best_ask = min((o.price_ticks for o in counting if o.side == m.SELL), default=0)
        if not best_ask or best_bid < best_ask:
            return 0, 0, 0
        reference = (self.band and self.reference_ticks) or self.last_ticks
        found = []
        for price in range(best_ask, best_bid + 1):
            willing = [order for order in counting if order.accepts(price)]
            buy = sum(lots[order.order_id] for order in willing if order.side == m.BUY)
            sell = sum(lots[order.order_id] for order in willing if order.side == m.SELL)
            rank = (-min(buy, sell), abs(buy - sell), abs(price - reference), price)
            found.append((rank, (price, min(buy, sell), buy - sell)))
        return min(found)[1]

    def uncross(self) -> None:
        """Make the next match of an auction, or end it."""
        # Lots that self-trade prevention will end count for no price: found once, at the start.
        self.auction_ticks = self.auction_ticks or self.auction_price()[0]
        price, pair = self.auction_ticks, self.pair()
        if pair is None:
            self.end_auction()
            return
        older, younger, lots = pair
        if younger.same_owner(older):
            at, mode = older.price_ticks, m.STP_CANCEL_INCOMING
            self.out.append(self.prevented(older, younger, at, lots, mode))
            self.end(younger.order_id, m.SELF_TRADE)
            return
        assert older.accepts(price), "an auction's price suits all that trade in it"
        assert younger.accepts(price), "an auction's price suits all that trade in it"
        refreshed = [order for order in (older, younger) if self.fill(order, lots)]
        self.out.append(self.traded(older, younger, price, lots))
        for order in refreshed:
            self.refreshed(order)
        self.auction_lots += lots

    def end_auction(self) -> None:
        state, self.state_after = self.state_after, None
        assert state is not None
        for order in sorted(self.at_open, key=lambda order: order.order_id):
            if order in self.orders:
                self.end(order.order_id, m.MARKET_REST)
        self.at_open = []
        price = self.auction_ticks if self.auction_lots else 0
        self.out.append(m.AuctionUncrossed(self.symbol_id, price, self.auction_lots))
        self.enter(state)
        if not price:
            return
        self.last_ticks = price
        self.is_last_fresh = state == m.OPEN
        if self.band:
            self.set_reference(price)
        if state == m.OPEN:
            self.seen(price, (m.SOURCE_LAST, None))

    # --- bands

    def band_refuses(self, order: NaiveOrder) -> bool:
        """Tell whether a limit is outside the band, or would trade only beyond the far edge."""
        price = order.price_ticks
        if self.band is not None and self.band.both_sides and self.inside(price) != price:
            return True
        met = self.matches(order)
        return self.into_band(order.side, price) != price or (bool(met) and not self.takes(order))

    def into_band(self, side: int, price: int) -> int:
        if self.band is None or not self.reference_ticks:
            return price
        return min(price, self.high()) if side == m.BUY else max(price, self.low())

    def set_band(self, command: m.SetBand) -> None:
        if command.band_ppm == 0:
            if self.phase:
                self.set_phase(m.PHASE_NONE, 0)
            self.band, self.trades, self.reference_ticks = None, [], 0
            self.moved_ms = 0
            return
        if self.band is None:
            self.trades = []
        self.band = command
        if self.phase == m.PHASE_LIMIT and not command.limit_ms:
            self.set_phase(m.PHASE_NONE, 0)
        if command.reference_ticks:
            self.set_reference(command.reference_ticks)

    def set_reference(self, price: int) -> None:
        self.reference_ticks, self.moved_ms, self.trades = price, self.now_ms, []
        self.out.append(m.ReferenceMoved(self.symbol_id, price))

    def set_phase(self, phase: int, due_ms: int) -> None:
        self.phase, self.due_ms = phase, due_ms
        self.out.append(m.PhaseChanged(self.symbol_id, phase, due_ms))

    def next_phase(self) -> None:
        if not self.phase or self.band is None or self.now_ms < self.due_ms:
            return
        if self.phase == m.PHASE_LIMIT:
            self.set_phase(m.PHASE_PAUSE, self.now_ms + self.band.pause_ms)
            self.move(m.HALT)
        elif self.phase == m.PHASE_PAUSE:
            self.set_phase(m.PHASE_CALL, self.now_ms + self.band.call_ms)
            self.move(m.AUCTION)
        else:
            self.set_phase(m.PHASE_NONE, 0)
            self.move(m.OPEN)

    def follow_band(self, start: int) -> None:
        """Move the reference and the limit state after a step of open trading."""
        if self.band is None:
            return
        oldest = (self.now_ms - 300_000) // 5_000
        prices = [price for bucket, price in self.trades if bucket > oldest]
        mean = sum(prices) // len(prices) if prices else self.reference_ticks
        reference = self.reference_ticks
        has_stood = self.now_ms - self.moved_ms >= self.band.move_after_ms
        is_far = abs(mean - reference) * PPM >= reference * self.band.move_ppm
        if mean != reference and (not reference or (has_stood and is_far)):
            self.reference_ticks, self.moved_ms = mean, self.now_ms
            self.out.append(m.ReferenceMoved(self.symbol_id, mean))
        if not self.band.limit_ms or not self.reference_ticks:
            return
        bid, ask = self.best(m.BUY), self.best(m.SELL)
        wants_out = bid >= self.high() or 0 < ask <= self.low()
        wants_out = wants_out or any(
            isinstance(event, m.OrderCancelled) and event.code == c.BAND_REST
            for event in self.out[start:]
        )
        has_room = bid >= self.low() and 0 < ask <= self.high()
        if self.phase == m.PHASE_NONE and wants_out:
            self.set_phase(m.PHASE_LIMIT, self.now_ms + self.band.limit_ms)
        elif self.phase == m.PHASE_LIMIT and not wants_out and has_room:
            self.set_phase(m.PHASE_NONE, 0)
