"""Random histories in which rules meet: few accounts, few prices, every kind of order.

A history has one subject (triggers, lists, auctions, bands, or a mix of them), which makes some
commands more frequent. It contains no order that the validation before the engine refuses
(docs/engine-interface.md).
"""

import random
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from matching.engine import messages as m
from tests.oracles.rules.market import other
from tests.oracles.rules.oracle import Oracle

ACCOUNTS: Final = (11, 12, 13)
FIRST_MS: Final = 1_000_000
IDS_MAX: Final = 400
TRADING: Final = (m.OPEN, m.PRE_OPEN, m.AUCTION, m.AUCTION_CUTOFF)
MODES: Final = (m.STP_CANCEL_INCOMING, *range(m.STP_NONE, m.STP_DECREMENT + 1))
IMMEDIATE: Final = {"ioc": m.IOC, "fok": m.FOK, "market": m.IOC, "quote": m.IOC}


class Subject(NamedTuple):
    """The subject of a history: weights of commands, of kinds of orders and of states."""

    commands: dict[str, int]
    kinds: dict[str, int]
    states: dict[int, int]
    has_modes: float  # how often an order chooses a self-trade mode that is not exempt
    is_far: float = 0.02  # how often a price is far away


_COMMANDS = {
    "place": 60,
    "cancel": 8,
    "amend": 8,
    "expire": 4,
    "all": 1,
    "cancel_after": 1,
    "set": 1,
}
_KINDS = {"gtc": 30, "post": 4, "ioc": 4, "fok": 4, "market": 6, "quote": 4, "iceberg": 6}
_WAITING = {"stop": 10, "take": 8, "trail": 10}
_STATES = {
    m.OPEN: 10,
    m.HALT: 2,
    m.PRE_OPEN: 2,
    m.AUCTION: 3,
    m.AUCTION_CUTOFF: 2,
    m.POST_ONLY: 1,
    m.CANCEL_ONLY: 1,
}
SUBJECTS: Final = {
    "triggers": Subject(_COMMANDS | {"state": 1}, _KINDS | _WAITING, _STATES, 0.3),
    "lists": Subject(_COMMANDS | {"linked": 30, "state": 2}, _KINDS | _WAITING, _STATES, 0.3),
    "auctions": Subject(
        _COMMANDS | {"linked": 5, "state": 14, "cancel": 10},
        _KINDS | {"market": 14, "iceberg": 20, "stop": 3, "trail": 2},
        _STATES | {m.AUCTION: 8, m.OPEN: 8},
        0.8,
    ),
    "bands": Subject(
        _COMMANDS | {"linked": 3, "state": 3, "band": 4, "expire": 14, "amend": 14},
        _KINDS | {"market": 16, "quote": 8, "stop": 5, "trail": 3},
        _STATES,
        0.3,
        0.08,
    ),
    "all": Subject(
        _COMMANDS | {"linked": 8, "state": 4, "band": 2, "fault": 1},
        _KINDS | _WAITING,
        _STATES,
        0.5,
    ),
}


def history(subject: str, seed: int, commands: int) -> list[m.Command]:
    """Return a history of `commands` commands."""
    oracle, made = Oracle(), list[m.Command]()
    for command in islice(Corners(random.Random(seed), subject, oracle), commands):
        made.append(command)
        oracle.apply(command)
    return made


PLAIN: Final = Subject(
    {"place": 60, "cancel": 8, "amend": 10, "all": 1, "state": 1},
    {"gtc": 30, "post": 8, "ioc": 6, "fok": 6, "market": 8, "quote": 6},
    {m.OPEN: 1, m.HALT: 1},
    has_modes=0.6,
)


def plain(command: m.Command) -> m.Command:
    """Remove from a command all that needs advanced state."""
    match command:
        case m.Place():
            command.terms, command.group_id, command.owner_tag = None, 0, 0
            command.self_trade = min(command.self_trade, m.STP_CANCEL_INCOMING)
        case m.Amend():
            command.stop_ticks = command.display_lots = 0
        case m.CancelAll():
            command.account_id, command.owner_tag = ACCOUNTS[0], 0
        case m.SetState():
            command.state = min(command.state, m.HALT)
    return command


class Corners:
    """An endless history of one symbol, determined by the random generator `chance`.

    It reads open orders from the oracle, so that cancels and amends hit them. The caller applies
    each command to this oracle before it takes the next one.
    """

    def __init__(self, chance: random.Random, subject: str, oracle: Oracle) -> None:
        self.chance, self.oracle, self.symbol = chance, oracle, 1
        self.subject = SUBJECTS[subject]
        self.now_ms = FIRST_MS
        self.number = 0
        # Some histories have prices near the lowest one.
        self.base = self.middle = chance.choice((100, 100, 100, 6))
        self.reach = chance.choice((2, 4, 8))
        self.placed: list[int] = []
        self.due_ms: list[int] = []
        self.state_asked = m.OPEN

    def __iter__(self) -> Iterator[m.Command]:
        subject = self.subject
        if self.chance.random() < 0.3:  # a symbol that has had only plain orders
            self.subject = PLAIN
            for _ in range(self.chance.randint(1, 100)):
                yield plain(self.command())
        self.subject = subject
        # The symbol has advanced state from here on (12.14).
        yield m.SetFeature(1, self.now_ms, self.symbol, 1, self.chance.random() < 0.5)
        while True:
            yield self.command()

    def command(self) -> m.Command:
        """Return the next command."""
        self.number += 1
        self.now_ms += self.chance.choice((0, 0, 1, 10, 1_000, 6_000, 40_000))
        if self.number % 60 == 0:
            moved = self.middle + self.chance.choice((-4, -1, 1, 4))
            self.middle = max(1, self.base - 10, min(self.base + 10, moved))
        name = self.pick(self.subject.commands)
        if self.state_asked not in TRADING and self.chance.random() < 0.15:
            name = "state"  # a state in which nothing trades lasts only a while
        make = getattr(self, name)
        made: m.Command = make(self.number + 100_000)
        return made

    def pick(self, weights: dict[str, int]) -> str:
        return self.chance.choices(list(weights), list(weights.values()))[0]

    def price(self, away: int = 0) -> int:
        """Return a price near the others; rarely one that is far away."""
        reach = 40 if self.chance.random() < self.subject.is_far else self.reach
        return max(1, self.middle + away + self.chance.randint(-reach, reach))

    def known(self) -> int:
        """Return an order id: mostly of an open order, or of one placed recently."""
        market = self.oracle.market(self.symbol)
        if market.orders and self.chance.random() < 0.7:
            return self.chance.choice(market.orders).id
        if self.placed and self.chance.random() < 0.9:
            return self.chance.choice(self.placed[-25:])
        return self.chance.randint(1, IDS_MAX)

    def place(self, _: int) -> m.Place:
        return self.order(self.chance.choice(ACCOUNTS), tuple(self.subject.kinds))

    def order(self, account: int, kinds: tuple[str, ...]) -> m.Place:
        """Return a random order of these kinds."""
        chance = self.chance
        kind = self.pick({kind: self.subject.kinds.get(kind, 5) for kind in kinds})
        inner = kind
        if kind in _WAITING:
            inner = chance.choice(("gtc", "gtc", "market", "market", "ioc", "fok", "post", "quote"))
            if inner == "quote" and "quote" not in kinds:
                inner = "market"
        side = chance.choice((m.BUY, m.SELL))
        is_market = inner in ("market", "quote")
        away = (10 if is_market else 0) * (1 if side == m.BUY else -1)
        order_id = chance.randint(1, IDS_MAX)
        self.placed.append(order_id)
        is_exempt = chance.random() >= self.subject.has_modes
        return m.Place(
            command_id=order_id,
            time_ms=self.now_ms,
            symbol_id=self.symbol,
            order_id=order_id,
            account_id=account,
            side=side,
            price_ticks=self.price(away),
            quantity_lots=0 if inner == "quote" else chance.randint(1, 12),
            time_in_force=IMMEDIATE.get(inner, m.GTC),
            post_only=inner == "post",
            market=is_market,
            budget_ticklots=chance.randint(1, 2_000) if inner == "quote" else 0,
            self_trade=m.STP_NONE if is_exempt else chance.choice(MODES),
            group_id=chance.choice((0, 0, 0, 3)),
            owner_tag=chance.choice((0, 5)),
            terms=self.terms(kind, inner),
        )

    def terms(self, kind: str, inner: str) -> m.Terms | None:
        """What the kind of order needs, and now and then more."""
        chance, terms = self.chance, m.Terms()
        if kind in ("stop", "take"):
            terms.trigger = m.TRIGGER_STOP if kind == "stop" else m.TRIGGER_TAKE
            terms.stop_ticks = self.price()
        if kind == "trail":
            terms.trigger = m.TRIGGER_TRAILING
            distance = {"trail_ticks": chance.randint(1, 5), "trail_ppm": chance.randint(1, 60_000)}
            name = chance.choice(tuple(distance))
            setattr(terms, name, distance[name])
            terms.bound_ppm = chance.choice((0, 5_000, 60_000)) if inner == "market" else 0
            terms.activation_ticks = chance.choice((0, 0, self.price()))
        if kind in _WAITING:
            terms.source = chance.choice((m.SOURCE_LAST, m.SOURCE_LAST, m.SOURCE_BEST))
        if inner not in IMMEDIATE and (kind == "iceberg" or chance.random() < 0.1):
            terms.display_lots = chance.randint(1, 4)
        if chance.random() < 0.1:
            terms.expire_ms = self.now_ms + chance.choice((0, 1, 20_000, 90_000))
            self.due_ms.append(terms.expire_ms)
        terms.reprice = inner == "post" and chance.random() < 0.5
        if terms.reprice and chance.random() < 0.3:
            terms.reprice_limit_ticks = self.price()
        return None if terms == m.Terms() else terms

    def linked(self, number: int) -> m.PlaceList:
        """Return a random list; one order of an OCO has a trigger, in either place."""
        chance = self.chance
        plain, waiting = ("gtc", "gtc", "iceberg", "post"), tuple(_WAITING)
        pair = [chance.choice((plain, waiting)), waiting]
        chance.shuffle(pair)
        first = chance.choice((plain, plain, waiting))
        kind = chance.choice((m.OCO, m.OTO, m.OTOCO))
        roles = {m.OCO: pair, m.OTO: [first, chance.choice(pair)], m.OTOCO: [first, *pair]}[kind]
        account = chance.choice(ACCOUNTS)
        orders = [self.order(account, kinds) for kinds in roles]
        for order, order_id in zip(
            orders, chance.sample(range(1, IDS_MAX + 1), len(orders)), strict=True
        ):
            order.command_id = order.order_id = order_id
            self.placed.append(order_id)
        if kind != m.OCO and orders[0].self_trade == m.STP_DECREMENT:
            orders[0].self_trade = m.STP_CANCEL_BOTH
        if chance.random() < 0.6:  # the usual list: children close what the parent opens
            for order in orders[1:]:
                order.side = orders[0].side if kind == m.OCO else 1 - orders[0].side
        return m.PlaceList(number, self.now_ms, self.symbol, number, kind, orders)

    def cancel(self, number: int) -> m.Cancel:
        return m.Cancel(number, self.now_ms, self.symbol, self.known())

    def amend(self, number: int) -> m.Amend:
        """Return an amend; for an order in the book often to a price at which it trades."""
        chance, order_id = self.chance, self.known()
        market = self.oracle.market(self.symbol)
        order = market.find(order_id)
        has_stop = order is not None and order.terms.stop_ticks > 0 and order.is_waiting
        price = chance.choice((0, self.price()))
        if order is not None and order.left > 1 and chance.random() < 0.25:
            lots = order.filled + chance.randint(1, order.left - 1)
            return m.Amend(number, self.now_ms, self.symbol, order_id, 0, lots, keep_priority=True)
        if order is not None and chance.random() < 0.3:
            price = market.best(other(order.side))
        return m.Amend(
            number,
            self.now_ms,
            self.symbol,
            order_id,
            price_ticks=price,
            quantity_lots=chance.choice((0, chance.randint(1, 12))),
            keep_priority=chance.random() < 0.2,
            stop_ticks=self.price() if chance.random() < (0.4 if has_stop else 0.05) else 0,
            display_lots=chance.choice((0, 0, 0, chance.randint(1, 4))),
        )

    def all(self, number: int) -> m.CancelAll:
        chance = self.chance
        account = chance.choice((*ACCOUNTS, m.ALL_ACCOUNTS))
        side, tag = chance.choice((-1, -1, m.BUY, m.SELL)), chance.choice((0, 0, 5))
        return m.CancelAll(number, self.now_ms, self.symbol, account, side, tag)

    def state(self, number: int) -> m.SetState:
        states = self.subject.states
        state = self.chance.choices(list(states), list(states.values()))[0]
        if self.chance.random() < 0.003:
            state = m.CLOSED
        self.state_asked = state
        return m.SetState(number, self.now_ms, self.symbol, state)

    def expire(self, number: int) -> m.Expire:
        """Return an expiry now, when the next order is due, or a millisecond earlier."""
        later = [due_ms for due_ms in self.due_ms if due_ms > self.now_ms]
        if later and self.chance.random() < 0.4:
            self.now_ms = max(self.now_ms, min(later) - self.chance.choice((0, 0, 1)))
        order_id = self.known() if self.chance.random() < 0.2 else 0
        return m.Expire(number, self.now_ms, self.symbol, order_id)

    def cancel_after(self, number: int) -> m.CancelAfter:
        chance = self.chance
        due_ms = chance.choice((0, self.now_ms + 1, self.now_ms + 50_000))
        self.due_ms.append(due_ms)
        account, tag = chance.choice(ACCOUNTS), chance.choice((0, 0, 5))
        return m.CancelAfter(number, self.now_ms, self.symbol, account, due_ms, tag)

    def set(self, number: int) -> m.Command:
        """Return a command that sets a feature or limits."""
        chance, now, symbol = self.chance, self.now_ms, self.symbol
        if chance.random() < 0.5:
            feature = chance.choice((*m.FEATURES, 99))
            return m.SetFeature(number, now, symbol, feature, chance.random() < 0.5)
        account = chance.choice((*ACCOUNTS, m.ALL_ACCOUNTS))
        maxima = chance.choice((0, 0, 0, 12)), chance.choice((0, 0, 0, 3))
        return m.SetLimits(number, now, symbol, account, *maxima)

    def band(self, number: int) -> m.SetBand:
        chance = self.chance
        return m.SetBand(
            number,
            self.now_ms,
            self.symbol,
            band_ppm=chance.choice((0, 10_000, 25_000, 40_000, 80_000)),
            reference_ticks=chance.choice((0, 0, self.price())),
            move_ppm=chance.choice((0, 10_000)),
            move_after_ms=chance.choice((0, 5_000)),
            limit_ms=chance.choice((0, 5_000, 5_000, 30_000)),
            pause_ms=chance.choice((0, 20_000)),
            call_ms=chance.choice((0, 20_000)),
            both_sides=chance.random() < 0.2,
        )

    def fault(self, number: int) -> m.RefuseFaulty:
        is_place = self.chance.random() < 0.5
        return m.RefuseFaulty(number, self.now_ms, self.symbol, self.known(), is_place)
