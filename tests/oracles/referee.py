"""Single rules, judged from commands and events alone, without any model of the market.

The oracle says what must happen. The referee says what must never happen. It is simple enough that
both are unlikely to have the same fault.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from matching.engine import messages as m

GATHERING = (m.PRE_OPEN, m.AUCTION, m.AUCTION_CUTOFF)


class Foul(AssertionError):
    """The engine broke a rule."""


@dataclass
class Sheet:
    """What the referee knows of one open order: its command, and what later events said of it."""

    place: m.Place
    price: int
    left: int
    age: tuple[int, int]
    was_triggered: bool = False
    waits: bool = False
    prices: list[int] = field(default_factory=list)  # that it may have seen since its release
    releases: list["Sheet"] = field(default_factory=list)

    @property
    def is_by_quote(self) -> bool:
        return self.place.budget_ticklots > 0


@dataclass
class Referee:
    """Checks the events of one symbol; `is_true` raises Foul with the number of the rule."""

    state: int = m.OPEN
    sequence: int = 0
    open: dict[int, Sheet] = field(default_factory=dict)
    asked: dict[int, m.Place] = field(default_factory=dict)
    first: int = 0  # parent of the list that the command places
    amended: int = 0  # the order that the command amends
    width_ppm: int = 0
    reference: int = 0
    last: int = 0
    uncrossed: list[m.Trade] = field(default_factory=list)

    def judge(self, command: m.Command, events: list[m.Event]) -> None:
        """Raise Foul on the first rule that these events break."""
        self.sequence += 1
        self.asked, self.first, self.amended = {}, 0, 0
        if isinstance(command, m.PlaceList) and command.kind != m.OCO:
            self.first = command.orders[0].order_id
        if isinstance(command, m.Amend):
            self.amended = command.order_id
        for place in command.orders if isinstance(command, m.PlaceList) else [command]:
            if isinstance(place, m.Place):
                self.asked[place.order_id] = place
        if isinstance(command, m.SetBand):
            self.width_ppm = command.band_ppm
            self.reference = self.reference if command.band_ppm else 0
        for event in events:
            self.see(event)
        self.is_true(not self.uncrossed, "21.1", "trades of an auction that was not told", events)
        self.look_around(command)

    def is_true(self, fact: bool, rule: str, what: str, *about: object) -> None:
        if not fact:
            raise Foul(f"{rule}: {what}: {about}")

    def see(self, event: m.Event) -> None:  # noqa: C901 one case an event
        match event:
            case m.OrderAccepted():
                place = self.asked[event.order_id]
                self.is_true(event.order_id not in self.open, "1.5", "a duplicate", event)
                self.open[event.order_id] = Sheet(
                    place,
                    event.price_ticks,
                    event.quantity_lots,
                    (self.sequence, event.order_id),
                    prices=[self.last],
                )
                if self.first in self.open and event.order_id != self.first:
                    self.open[self.first].releases.append(self.open[event.order_id])
            case m.OrderWaiting():
                self.open[event.order_id].waits = True
            case m.OrderTriggered():
                self.see_triggered(event)
            case m.Trade():
                self.see_trade(event)
            case m.OrderCancelled():
                sheet = self.open.pop(event.order_id)
                same = sheet.is_by_quote or sheet.left == event.left_lots
                self.is_true(same, "7.1", "another rest than was open", event, sheet)
            case m.OrderAmended():
                self.see_amended(event)
            case m.OrderRepriced():
                self.open[event.order_id].price = event.price_ticks
            case m.AuctionUncrossed():
                self.see_uncrossed(event)
            case m.StateChanged():
                self.state = event.state
            case m.ReferenceMoved():
                self.reference = event.reference_ticks

    def see_triggered(self, event: m.OrderTriggered) -> None:
        """12.8, 19.9, 20.5."""
        sheet = self.open[event.order_id]
        self.is_true(
            self.state == m.OPEN or not event.at_ticks, "20.5", "triggered", event, self.state
        )
        self.is_true(sheet.waits and not sheet.was_triggered, "12.8", "triggered twice", event)
        terms = sheet.place.terms or m.Terms()
        if event.at_ticks and terms.source == m.SOURCE_LAST:
            is_seen = event.at_ticks in sheet.prices
            self.is_true(is_seen, "19.9", "a price from before", event, sheet.prices)
        sheet.waits, sheet.was_triggered = False, True
        sheet.age = (self.sequence, event.order_id)

    def see_amended(self, event: m.OrderAmended) -> None:
        """8.4: and prevention that takes lots off says which are left."""
        sheet = self.open[event.order_id]
        self.is_true(sheet.left == event.old_left_lots, "8.1", "another rest", event, sheet)
        travels = (
            sheet.was_triggered and sheet.place.terms is not None and sheet.place.terms.bound_ppm
        )
        same = sheet.price == event.old_price_ticks or travels  # 13.7
        self.is_true(bool(same), "8.1", "another price", event, sheet)
        sheet.left, sheet.price = event.left_lots, event.price_ticks
        if event.order_id == self.amended and not event.kept_priority:
            sheet.age = (self.sequence, event.order_id)

    def see_trade(self, event: m.Trade) -> None:
        """2.3, 6.1, 21.9, 22.9, 24.5, 24.6."""
        maker, taker = self.open[event.maker_order_id], self.open[event.taker_order_id]
        for sheet in (maker, taker):
            is_worse = (
                event.price_ticks > sheet.price
                if sheet.place.side == m.BUY
                else event.price_ticks < sheet.price
            )
            self.is_true(not is_worse, "24.5", "through a limit", event, sheet)
            self.is_true(not sheet.waits, "12.1", "a waiting order traded", event, sheet)
        own = maker.place.account_id == taker.place.account_id
        exempt = m.STP_NONE in (taker.place.self_trade, maker.place.self_trade)
        self.is_true(not own or exempt, "24.12", "own orders traded", event)
        for order_id, sheet, left in (
            (event.maker_order_id, maker, event.maker_left_lots),
            (event.taker_order_id, taker, event.taker_left_lots),
        ):
            if not sheet.is_by_quote:
                sheet.left -= event.quantity_lots
                self.is_true(sheet.left == left >= 0, "24.6", "another rest", event, sheet)
                if left == 0:
                    del self.open[order_id]
                    for waiting in sheet.releases:
                        waiting.prices = []
        if self.state == m.OPEN:
            self.see_open_trade(event, maker)
        else:
            self.is_true(maker.age < taker.age, "21.9", "the younger is the maker", event)
            self.uncrossed.append(event)
        for sheet in self.open.values():
            sheet.prices.append(event.price_ticks)

    def see_open_trade(self, event: m.Trade, maker: Sheet) -> None:
        """2.3, 22.2, 22.9: the maker's price, or the edge of the band where that is beyond it."""
        self.last = event.price_ticks
        edges = self.edges()
        if edges is not None:
            low, high = edges
            self.is_true(low <= event.price_ticks <= high, "22.9", "outside the band", event, edges)
            expected = min(max(maker.price, low), high)
        else:
            expected = maker.price
        self.is_true(event.price_ticks == expected, "2.3", "not the maker's price", event, maker)

    def edges(self) -> tuple[Fraction, Fraction] | None:
        """Return the band's edges, as exact numbers of whole ticks; None where nothing is bound."""
        if not self.width_ppm or not self.reference:
            return None
        width = Fraction(self.reference * self.width_ppm, 1_000_000)
        low, high = self.reference - width, self.reference + width
        return Fraction(max(1, -(-low.numerator // low.denominator))), Fraction(
            high.numerator // high.denominator
        )

    def see_uncrossed(self, event: m.AuctionUncrossed) -> None:
        """21.1, 21.10: all at the told price, and as much as was told."""
        prices = {trade.price_ticks for trade in self.uncrossed}
        lots = sum(trade.quantity_lots for trade in self.uncrossed)
        told = {event.price_ticks} if event.price_ticks else set()
        self.is_true(prices == told, "21.1", "another price", event, prices)
        self.is_true(lots == event.quantity_lots, "21.6", "another quantity", event, lots)
        self.last = event.price_ticks or self.last
        self.uncrossed = []

    def look_around(self, command: m.Command) -> None:
        """2.5, 20.10: what must hold of the open orders after every command."""
        resting = [sheet for sheet in self.open.values() if not sheet.waits]
        if self.state in GATHERING:
            return
        for sheet in resting:
            self.is_true(not sheet.place.market, "20.10", "a market order rests", sheet, command)
            self.is_true(sheet.place.time_in_force == m.GTC, "24.4", "it rests", sheet, command)
        buys = [sheet.price for sheet in resting if sheet.place.side == m.BUY]
        sells = [sheet.price for sheet in resting if sheet.place.side == m.SELL]
        if self.state in (m.OPEN, m.POST_ONLY) and buys and sells:
            self.is_true(max(buys) < min(sells), "2.5", "the book crosses", command)
