"""Random histories of every command and every optional field, made from a seed.

A few accounts, prices and ids, so that orders meet, queues form, triggers are passed and ids come
back. Orders that the validation in front of the engine would not let through are not made.
"""

import random
from collections.abc import Iterator

from matching.engine import messages as m

ACCOUNTS = (11, 12, 13, 14)
MODES = (m.STP_CANCEL_INCOMING, m.STP_NONE, *range(m.STP_NONE, m.STP_DECREMENT + 1))
KINDS = ("gtc", "post", "ioc", "fok", "market", "quote", "stop", "take", "trail", "iceberg")
KIND_WEIGHTS = (30, 12, 8, 5, 8, 6, 12, 8, 8, 12)
COMMANDS = (
    "place",
    "list",
    "cancel",
    "amend",
    "all",
    "state",
    "expire",
    "cancel_after",
    "set",
    "fault",
)
COMMAND_WEIGHTS = (60, 8, 7, 12, 2, 4, 5, 1, 2, 1)


class History:
    """An endless history, made by this chance alone."""

    def __init__(self, chance: random.Random, symbols: int = 2, ids_max: int = 90) -> None:
        self.chance = chance
        self.symbols = symbols
        self.ids_max = ids_max
        self.now_ms = 1_000
        self.middle = 100
        self.number = 0
        self.recent: list[tuple[int, int]] = []

    def __iter__(self) -> Iterator[m.Command]:
        while True:
            yield self.command()

    def command(self) -> m.Command:
        """Return the next command."""
        return self.command_of(self.chance.choices(COMMANDS, COMMAND_WEIGHTS)[0])

    def command_of(self, kind: str) -> m.Command:  # noqa: C901 one case a kind
        """Return the next command, of one kind."""
        chance = self.chance
        self.number += 1
        self.now_ms += chance.choice((0, 1, 10, 500, 3_000, 40_000))
        if self.number % 50 == 0:
            self.middle = max(90, min(110, self.middle + chance.choice((-3, 0, 3))))
        symbol = chance.choice((1, 1, self.symbols))
        number, now = 10_000 + self.number, self.now_ms
        match kind:
            case "place":
                return self.place(symbol, self.new_id())
            case "list":
                return self.list(symbol)
            case "cancel":
                return m.Cancel(number, now, *self.target(symbol))
            case "amend":
                return self.amend(symbol, number)
            case "all":
                account = chance.choice((*ACCOUNTS, m.ALL_ACCOUNTS))
                side, tag = chance.choice((-1, -1, 0, 1)), chance.choice((0, 0, 5, 6))
                return m.CancelAll(number, now, symbol, account, side, tag)
            case "state":
                return m.SetState(number, now, symbol, self.state())
            case "expire":
                wanted = self.target(symbol) if chance.random() < 0.3 else (symbol, 0)
                return m.Expire(number, now, *wanted)
            case "cancel_after":
                due = chance.choice((0, now + 1, now + 50_000))
                tag = chance.choice((0, 0, 5))
                return m.CancelAfter(number, now, symbol, chance.choice(ACCOUNTS), due, tag)
            case "set":
                return self.setting(symbol, number)
        return m.RefuseFaulty(number, now, symbol, self.new_id(), chance.random() < 0.5)

    def new_id(self) -> int:
        return self.chance.randint(1, self.ids_max)

    def target(self, symbol: int) -> tuple[int, int]:
        """Most often an order that was placed not long ago."""
        if self.recent and self.chance.random() < 0.85:
            return self.chance.choice(self.recent[-25:])
        return symbol, self.new_id()

    def state(self) -> int:
        """The symbol opens again soon, or the history would be one of refusals."""
        return self.chance.choice(
            (m.OPEN,) * 9
            + (m.HALT, m.PRE_OPEN, m.AUCTION, m.AUCTION, m.AUCTION_CUTOFF)
            + (m.POST_ONLY, m.CANCEL_ONLY)
            + ((m.CLOSED,) if self.chance.random() < 0.01 else ())
        )

    def place(self, symbol: int, order_id: int, kinds: tuple[str, ...] = KINDS) -> m.Place:
        """Any order of these kinds."""
        chance = self.chance
        weights = [KIND_WEIGHTS[KINDS.index(kind)] for kind in kinds]
        kind = chance.choices(kinds, weights)[0]
        inner = kind
        if kind in ("stop", "take", "trail"):
            inner = chance.choice(("gtc", "gtc", "market", "market", "quote", "ioc", "fok", "post"))
            if "quote" not in kinds and inner == "quote":
                inner = "market"
        tif = {"ioc": m.IOC, "fok": m.FOK, "market": m.IOC, "quote": m.IOC}.get(inner, m.GTC)
        side = chance.choice((m.BUY, m.SELL))
        reach = 14 if inner in ("market", "quote") else chance.choice((-6, -3, -1, 0, 1, 3))
        toward = 1 if side == m.BUY else -1
        self.recent.append((symbol, order_id))
        return m.Place(
            command_id=order_id,
            time_ms=self.now_ms,
            symbol_id=symbol,
            order_id=order_id,
            account_id=chance.choice(ACCOUNTS),
            side=side,
            price_ticks=max(1, self.middle + toward * reach + chance.randint(-2, 2)),
            quantity_lots=0 if inner == "quote" else chance.randint(1, 12),
            time_in_force=tif,
            post_only=inner == "post",
            market=inner in ("market", "quote"),
            budget_ticklots=chance.randint(1, 3_000) if inner == "quote" else 0,
            self_trade=chance.choice(MODES),
            group_id=chance.choice((0, 0, 0, 3)),
            owner_tag=chance.choice((0, 5, 6)),
            terms=self.terms(kind, inner, tif),
        )

    def terms(self, kind: str, inner: str, tif: int) -> m.Terms | None:
        chance = self.chance
        terms = m.Terms()
        near = max(1, self.middle + chance.randint(-7, 7))
        if kind in ("stop", "take"):
            terms.trigger = m.TRIGGER_STOP if kind == "stop" else m.TRIGGER_TAKE
            terms.stop_ticks = near
        elif kind == "trail":
            terms.trigger = m.TRIGGER_TRAILING
            if chance.random() < 0.5:
                terms.trail_ticks = chance.randint(1, 6)
            else:
                terms.trail_ppm = chance.choice((1_000, 20_000, 50_000))
            terms.activation_ticks = chance.choice((0, near))
            if inner in ("market", "quote"):
                terms.bound_ppm = chance.choice((0, 20_000, 60_000))
        if terms.trigger:
            terms.source = chance.choice((m.SOURCE_LAST, m.SOURCE_LAST, m.SOURCE_BEST))
        if tif == m.GTC and (kind == "iceberg" or chance.random() < 0.1):
            terms.display_lots = chance.randint(1, 5)
        if chance.random() < 0.2:
            terms.expire_ms = self.now_ms + chance.choice((0, 1, 30_000, 90_000))
        if inner == "post":
            terms.reprice = chance.random() < 0.5
            terms.reprice_limit_ticks = chance.choice((0, 0, near))
        return None if terms == m.Terms() and chance.random() < 0.9 else terms

    def list(self, symbol: int) -> m.PlaceList:
        """Any list of orders."""
        chance = self.chance
        kind = chance.choice((m.OCO, m.OCO, m.OTO, m.OTOCO))
        plain, waiting = ("gtc", "iceberg", "post"), ("stop", "take", "trail")
        both = plain + waiting
        roles = {
            m.OCO: (chance.choice((plain, waiting)), waiting),
            m.OTO: (both, both),
            m.OTOCO: (both, chance.choice((plain, waiting)), waiting),
        }[kind]
        ids = chance.sample(range(1, self.ids_max + 1), len(roles))
        account = chance.choice(ACCOUNTS)
        places = []
        for order_id, kinds in zip(ids, roles, strict=True):
            place = self.place(symbol, order_id, kinds)
            place.account_id = account
            places.append(place)
        if kind != m.OCO and places[0].self_trade == m.STP_DECREMENT:
            places[0].self_trade = m.STP_CANCEL_INCOMING  # validation refuses it
        if kind == m.OCO and chance.random() < 0.5:
            places.reverse()
        return m.PlaceList(20_000 + self.number, self.now_ms, symbol, self.number, kind, places)

    def amend(self, symbol: int, number: int) -> m.Amend:
        chance = self.chance
        return m.Amend(
            number,
            self.now_ms,
            *self.target(symbol),
            price_ticks=chance.choice((0, self.middle + chance.randint(-5, 5))),
            quantity_lots=chance.choice((0, chance.randint(1, 14))),
            keep_priority=chance.random() < 0.3,
            stop_ticks=chance.choice((0, 0, 0, self.middle + chance.randint(-5, 5))),
            display_lots=chance.choice((0, 0, 0, chance.randint(1, 5))),
        )

    def setting(self, symbol: int, number: int) -> m.Command:
        chance, now = self.chance, self.now_ms
        match chance.randrange(3):
            case 0:
                feature = chance.choice((*m.FEATURES, 99))
                return m.SetFeature(number, now, symbol, feature, chance.random() < 0.5)
            case 1:
                account = chance.choice((*ACCOUNTS, m.ALL_ACCOUNTS))
                maxima = (chance.choice((0, 0, 12, 25)), chance.choice((0, 0, 5, 12)))
                return m.SetLimits(number, now, symbol, account, *maxima)
        return m.SetBand(
            number,
            now,
            symbol,
            band_ppm=chance.choice((0, 30_000, 60_000, 100_000)),
            reference_ticks=chance.choice((0, self.middle)),
            move_ppm=chance.choice((0, 10_000)),
            move_after_ms=chance.choice((0, 30_000)),
            limit_ms=chance.choice((0, 15_000)),
            pause_ms=chance.choice((0, 60_000)),
            call_ms=chance.choice((0, 60_000)),
            both_sides=chance.random() < 0.2,
        )
