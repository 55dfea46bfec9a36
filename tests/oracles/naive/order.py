"""An order of the naive book."""

from dataclasses import dataclass

from matching.engine import messages as m

PENDING, WATCHING, TRIGGERED = range(3)


@dataclass(eq=False)
class NaiveOrder:
    """An order that rests in the book, waits outside it, or is entering it."""

    command: m.Place
    order_id: int
    account_id: int
    side: int
    price_ticks: int
    quantity_lots: int
    left_lots: int
    shown_lots: int
    display_lots: int
    age: int  # the command in which it took its place
    place: int = 0  # in the queue; unlike `age` unique
    stage: int = PENDING
    stop_ticks: int = 0
    mark_ticks: int = 0
    at_ticks: int = 0
    first_age: int = 0  # of an iceberg: its age before its parts had ages of their own

    @property
    def seniority(self) -> tuple[int, int]:
        """Return the key of age: every part of an iceberg is as old as the iceberg."""
        return self.first_age or self.age, self.order_id

    @property
    def bound_ticks(self) -> int:
        """Return the price with which the order would enter now."""
        asked, ppm, stop = self.command.price_ticks, self.terms.bound_ppm, self.stop_ticks
        if not ppm or not stop:
            return asked
        exact = stop * (1_000_000 + ppm if self.side == m.BUY else 1_000_000 - ppm)
        whole, rest = divmod(exact, 1_000_000)
        return min(asked, whole) if self.side == m.BUY else max(asked, whole + (rest > 0))

    @property
    def terms(self) -> m.Terms:
        return self.command.terms or m.Terms()

    @property
    def is_trailing(self) -> bool:
        return self.terms.trigger == m.TRIGGER_TRAILING

    @property
    def waits(self) -> bool:
        return self.terms.trigger != m.TRIGGER_NONE

    def accepts(self, price_ticks: int) -> bool:
        """Tell whether trading at this price is within the order's limit."""
        if self.side == m.BUY:
            return price_ticks <= self.price_ticks
        return price_ticks >= self.price_ticks

    def is_reached(self, price_ticks: int) -> bool:
        """Tell whether a price reaches the order's trigger."""
        if self.stop_ticks <= 0:
            return False
        is_take = self.terms.trigger == m.TRIGGER_TAKE
        if (self.side == m.BUY) == is_take:  # a take-profit to buy, a stop to sell
            return price_ticks <= self.stop_ticks
        return price_ticks >= self.stop_ticks

    def follow(self, price_ticks: int) -> None:
        """Move a trailing stop."""
        if not self.is_trailing:
            return
        terms = self.terms
        is_buy = self.side == m.BUY
        if self.mark_ticks:
            better = price_ticks < self.mark_ticks if is_buy else price_ticks > self.mark_ticks
        elif terms.activation_ticks:
            at = terms.activation_ticks
            better = price_ticks <= at if is_buy else price_ticks >= at
        else:
            better = True
        if better:
            self.mark_ticks = price_ticks
            distance = terms.trail_ticks or max(1, price_ticks * terms.trail_ppm // 1_000_000)
            self.stop_ticks = price_ticks + distance if is_buy else price_ticks - distance
            self.stop_ticks = max(0, self.stop_ticks)

    def same_owner(self, other: "NaiveOrder") -> bool:
        """Tell whether this order's self-trade rule forbids the two to trade."""
        mine, other_group = self.command, other.command.group_id
        if mine.self_trade == m.STP_NONE:
            return False
        same_group = mine.group_id != 0 and mine.group_id == other_group
        return self.account_id == other.account_id or same_group

    def cancelled(self, code: str) -> m.OrderCancelled:
        """Return the event of the order's end."""
        return m.OrderCancelled(
            self.order_id, self.account_id, self.side, self.price_ticks, self.left_lots, code
        )

    def shrunk(self, before_lots: int, kept: bool) -> m.OrderAmended:
        """Return the event of a quantity that self-trade prevention made smaller."""
        return m.OrderAmended(
            order_id=self.order_id,
            account_id=self.account_id,
            side=self.side,
            old_price_ticks=self.price_ticks,
            old_left_lots=before_lots,
            price_ticks=self.price_ticks,
            quantity_lots=self.quantity_lots,
            left_lots=self.left_lots,
            kept_priority=kept,
            display_lots=self.display_lots,
        )


def naive_order(command: m.Place, age: int) -> NaiveOrder:
    """Return the order that a command places."""
    return NaiveOrder(
        command=command,
        order_id=command.order_id,
        account_id=command.account_id,
        side=command.side,
        price_ticks=command.price_ticks,
        quantity_lots=command.quantity_lots,
        left_lots=command.quantity_lots,
        shown_lots=command.quantity_lots,
        display_lots=command.terms.display_lots if command.terms else 0,
        age=age,
    )
