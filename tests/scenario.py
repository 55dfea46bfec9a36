"""Scenarios that read like a trading log: `command -> events`, one a line.

    sell #1 5@101                   limit order 1; options below
    buy #2 quote 505@102            market order that may spend 505 tick-lots, bound 102
    amend #1 4@100                  also `4` or `@100` alone; options: keep stop=96 show=2
    cancel #1 | cancel-all by=7|everyone [buy|sell] [tag=5] | fault #1 [place] | book | continue
    oco sell #1 5@105 ; sell #2 5@94 stop=96        also oto, otoco; `by=7` holds for all of them
    halt resume pre-open auction cutoff post-only cancel-only close | indication
    last 100                        two other accounts trade a lot at 100; needs advanced state
    clock 5000 | expire [#1] | cancel-after by=7 60000 [tag=5] | feature 1 on
    band 100000 ref=100 move=10000 after=30000 limit=15000 pause=60000 call=60000 both=1
    limits by=7|everyone 10 5       open orders, waiting orders

Options of orders: post ioc fok market exempt cancel-resting cancel-both decrement best reprice
by=ACCOUNT group=3 tag=5 stop=96 take=96 trail=3 trail=20000ppm active=99 show=2 until=5000
bound=50000 (of a trailing bound, in ppm) furthest=110 (of a reprice).

Events: `rest #1 5@101` (in the book after its own command) · `#1x#3 5@101` (maker x taker) ·
`no #4 code` · `gone #2 2 code` (code left out when the user cancelled) · `now #1 4/6@100 [kept]`
(left/total) · `state 1` · `wait #1 96` (stop; none: pending or trailing) · `fire #1 95` (price) ·
`slice #1 2+3` (shown + hidden) · `stp #1x#3 5@101` · `list 9` · `done` · `uncross 5@101` ·
`phase 1 15000` · `ref 100` · `more` · `nothing`. A code is written without its group. Each order
has an account of its own unless `by` names one. After every line all invariants are checked, and
the naive book must give the same events, until work is cut into pieces, which it does not do.
"""

import re

from matching.engine import messages as m
from matching.engine.core import Engine
from tests.oracles.naive.book import NaiveEngine

SYMBOL = 1
SIDES = {"buy": m.BUY, "sell": m.SELL}
STATES = {
    "resume": m.OPEN,
    "halt": m.HALT,
    "pre-open": m.PRE_OPEN,
    "auction": m.AUCTION,
    "cutoff": m.AUCTION_CUTOFF,
    "post-only": m.POST_ONLY,
    "cancel-only": m.CANCEL_ONLY,
    "close": m.CLOSED,
}
MODES = {
    "exempt": m.STP_NONE,
    "cancel-resting": m.STP_CANCEL_RESTING,
    "cancel-both": m.STP_CANCEL_BOTH,
    "decrement": m.STP_DECREMENT,
}
LISTS = {"oco": m.OCO, "oto": m.OTO, "otoco": m.OTOCO}
FLAGS = {"post", "ioc", "fok", "market", "quote", "best", "reprice", *MODES}
# Accounts of orders without `by`; far from the small numbers that scenarios use.
LONE_ACCOUNTS = 1_000


class Player:
    """Plays lines to an engine and to the naive book."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.naive: NaiveEngine | None = NaiveEngine()
        self.now_ms = 0
        self.strangers = 1_000_000

    def play(self, text: str) -> str:
        """Return what a line's command gave, as text."""
        words = text.split()
        match words[0]:
            case "book":
                return _book_text(self.engine)
            case "indication":
                price, lots, surplus = self.engine.indication(SYMBOL)
                return f"{lots}@{price} {surplus:+d}"
            case "last":
                return self.last_price(int(words[1]))
            case "clock":
                self.now_ms = int(words[1])
                return "nothing"
        command = _command(self.engine.sequence + 1, self.now_ms, text)
        expected = self.naive.apply(command) if self.naive else None
        events = self.engine.apply(command)
        self.engine.check()
        if any(type(event) is m.ContinueNeeded for event in events):
            self.naive = None
        assert self.naive is None or events == expected, f"{text}\n  naive: {expected}"
        if isinstance(command, m.Place):
            answer = m.OrderRejected | m.OrderAccepted
            assert isinstance(events[0], answer), "an order is accepted or rejected"
        texts = [said for event in events if (said := _event_text(event))]
        texts += self._rests(command, events)
        return ", ".join(texts) or "nothing"

    def last_price(self, price: int) -> str:
        """Let two strangers trade one lot; `nothing` where that is all that happened."""
        self.strangers += 2
        sell, buy = self.strangers, self.strangers + 1
        self.play("feature 2 off")
        self.play(f"sell #{sell} 1@{price}")
        happened = self.play(f"buy #{buy} 1@{price}")
        traded = f"#{sell}x#{buy} 1@{price}"
        return happened.removeprefix(traded).removeprefix(", ") or "nothing"

    def _rests(self, command: m.Command, events: list[m.Event]) -> list[str]:
        """Say which orders took a place in the book by coming in."""
        ids = [event.order_id for event in events if isinstance(event, m.OrderTriggered)]
        if isinstance(command, m.PlaceList):
            ids = [place.order_id for place in command.orders] + ids
        elif isinstance(command, m.Place | m.Amend):
            ids.insert(0, command.order_id)
        book = self.engine.book(SYMBOL)
        orders = [book.orders[one] for one in dict.fromkeys(ids) if one in book.orders]
        return [
            f"rest #{order.order_id} {order.left_lots + order.hidden_lots}@{order.price_ticks}"
            for order in orders
            if order.priority == self.engine.sequence
        ]


def run(log: str) -> Engine:
    """Play a scenario and return the engine; an unexpected line fails with its text."""
    player = Player()
    for line in filter(None, map(str.strip, log.splitlines())):
        words, arrow, expected = line.partition("->")
        assert arrow, f"a line needs an expectation: {line}"
        happened = player.play(words.strip())
        assert happened == expected.strip(), f"{line}\n  happened: {happened}"
    return player.engine


def _command(number: int, now_ms: int, text: str) -> m.Command:
    verb, *rest = text.split()
    values = dict(word.split("=") for word in rest if "=" in word)
    (order,) = [int(word[1:]) for word in rest if word.startswith("#") and ";" not in text] or [0]
    account = m.ALL_ACCOUNTS if "everyone" in rest else int(values.get("by", 0))
    tag = int(values.get("tag", 0))
    head = (number, now_ms, SYMBOL)
    if verb in STATES:
        return m.SetState(*head, STATES[verb])
    match verb:
        case "buy" | "sell":
            return _place(text, now_ms, {})
        case "oco" | "oto" | "otoco":
            return _list(verb, number, now_ms, text.removeprefix(verb), values)
        case "cancel":
            return m.Cancel(*head, order)
        case "cancel-all":
            (side,) = [SIDES[word] for word in rest if word in SIDES] or [-1]
            return m.CancelAll(*head, account, side, tag)
        case "amend":
            price, quantity = _terms(rest)
            shown, stop = int(values.get("show", 0)), int(values.get("stop", 0))
            return m.Amend(*head, order, price, quantity, "keep" in rest, stop, shown)
        case "fault":
            return m.RefuseFaulty(*head, order, "place" in rest)
        case "expire":
            return m.Expire(*head, order)
        case "continue":
            return m.Continue(*head)
    return _setting(verb, head, rest, values, account)


def _setting(
    verb: str,
    head: tuple[int, int, int],
    rest: list[str],
    values: dict[str, str],
    account: int,
) -> m.Command:
    numbers = [int(word) for word in rest if word.isdigit()]
    match verb:
        case "cancel-after":
            return m.CancelAfter(*head, account, numbers[0], int(values.get("tag", 0)))
        case "feature":
            return m.SetFeature(*head, numbers[0], "on" in rest)
        case "limits":
            return m.SetLimits(*head, account, numbers[0], numbers[1])
        case "band":
            names = {"ref": "reference_ticks", "move": "move_ppm", "after": "move_after_ms"}
            names |= {"limit": "limit_ms", "pause": "pause_ms", "call": "call_ms"}
            both_sides = bool(int(values.pop("both", 0)))
            options = {names[key]: int(value) for key, value in values.items()}
            return m.SetBand(*head, numbers[0], both_sides=both_sides, **options)
    raise ValueError(f"unknown verb: {verb}")


def _list(verb: str, number: int, now_ms: int, text: str, values: dict[str, str]) -> m.PlaceList:
    places = [_place(part.strip(), now_ms, values) for part in text.split(";")]
    for place in places:
        place.account_id = int(values.get("by", LONE_ACCOUNTS + places[0].order_id))
    return m.PlaceList(number, now_ms, SYMBOL, number, LISTS[verb], places)


def _place(text: str, now_ms: int, shared: dict[str, str]) -> m.Place:
    verb, *rest = text.split()
    values = {"by": shared["by"]} if "by" in shared else {}
    values |= dict(word.split("=") for word in rest if "=" in word)
    flags = {word for word in rest if "=" not in word and word[0].isalpha()}
    assert flags <= FLAGS, f"unknown options: {flags - FLAGS}"
    (order,) = [int(word[1:]) for word in rest if word.startswith("#")]
    price, amount = _terms(rest)
    by_quote = "quote" in flags
    market = by_quote or "market" in flags
    return m.Place(
        command_id=order,
        time_ms=now_ms,
        symbol_id=SYMBOL,
        order_id=order,
        account_id=int(values.get("by", LONE_ACCOUNTS + order)),
        side=SIDES[verb],
        price_ticks=price,
        quantity_lots=0 if by_quote else amount,
        time_in_force=m.FOK if "fok" in flags else m.IOC if market or "ioc" in flags else m.GTC,
        post_only="post" in flags,
        market=market,
        budget_ticklots=amount if by_quote else 0,
        self_trade=next((MODES[one] for one in MODES if one in flags), m.STP_CANCEL_INCOMING),
        group_id=int(values.get("group", 0)),
        owner_tag=int(values.get("tag", 0)),
        terms=_special_terms(values, flags),
    )


def _special_terms(values: dict[str, str], flags: set[str]) -> m.Terms | None:
    kinds = {"stop": m.TRIGGER_STOP, "take": m.TRIGGER_TAKE, "trail": m.TRIGGER_TRAILING}
    trail = values.get("trail", "")
    terms = m.Terms(
        trigger=next((kinds[kind] for kind in kinds if kind in values), m.TRIGGER_NONE),
        stop_ticks=int(values.get("stop", values.get("take", 0))),
        source=m.SOURCE_BEST if "best" in flags else m.SOURCE_LAST,
        trail_ticks=int(trail) if trail.isdigit() else 0,
        trail_ppm=int(trail.removesuffix("ppm")) if trail.endswith("ppm") else 0,
        activation_ticks=int(values.get("active", 0)),
        display_lots=int(values.get("show", 0)),
        expire_ms=int(values.get("until", 0)),
        reprice="reprice" in flags,
        bound_ppm=int(values.get("bound", 0)),
        reprice_limit_ticks=int(values.get("furthest", 0)),
    )
    return None if terms == m.Terms() else terms


def _terms(words: list[str]) -> tuple[int, int]:
    """Return (price_ticks, lots or tick-lots) of `5@101`, `5` or `@101`; 0 for what is absent."""
    (terms,) = [word for word in words if re.fullmatch(r"\d*(@\d+)?", word)] or [""]
    amount, _, price = terms.partition("@")
    return int(price or 0), int(amount or 0)


def _event_text(event: m.Event) -> str:
    match event:
        case m.Trade() | m.SelfTradePrevented():
            parties = f"#{event.maker_order_id}x#{event.taker_order_id}"
            prevented = "stp " if isinstance(event, m.SelfTradePrevented) else ""
            return f"{prevented}{parties} {event.quantity_lots}@{event.price_ticks}"
        case m.OrderRejected() | m.CommandRefused():
            return f"no #{event.order_id} {_short(event.code)}"
        case m.OrderCancelled():
            code = "" if event.code == m.BY_USER else f" {_short(event.code)}"
            return f"gone #{event.order_id} {event.left_lots}{code}"
        case m.OrderAmended():
            kept = " kept" if event.kept_priority else ""
            stop = f" stop={event.stop_ticks}" if event.stop_ticks else ""
            quantities = f"{event.left_lots}/{event.quantity_lots}"
            return f"now #{event.order_id} {quantities}@{event.price_ticks}{stop}{kept}"
        case m.OrderWaiting(stop_ticks=0):
            return f"wait #{event.order_id}"
        case m.OrderWaiting():
            return f"wait #{event.order_id} {event.stop_ticks}"
        case m.OrderTriggered():
            return f"fire #{event.order_id} {event.at_ticks}"
        case m.OrderRepriced():
            return f"moved #{event.order_id} {event.price_ticks}"
        case m.OrderRefreshed():
            return f"slice #{event.order_id} {event.shown_lots}+{event.hidden_lots}"
    return _market_event_text(event)


def _market_event_text(event: m.Event) -> str:
    match event:
        case m.StateChanged():
            return f"state {event.state}"
        case m.ListAccepted():
            return f"list {event.list_id}"
        case m.CommandDone():
            return "done"
        case m.ContinueNeeded():
            return "more"
        case m.AuctionUncrossed():
            return f"uncross {event.quantity_lots}@{event.price_ticks}"
        case m.PhaseChanged():
            return f"phase {event.phase} {event.due_ms}"
        case m.ReferenceMoved():
            return f"ref {event.reference_ticks}"
    return ""  # OrderAccepted: `play` has asserted it, the rest tells what came of it


def _short(code: str) -> str:
    return code.partition(".")[2]


def _book_text(engine: Engine) -> str:
    bids, asks = engine.book(SYMBOL).depth(100)
    sides = (" ".join(f"{lots}@{price}" for price, lots in side) for side in (bids, asks))
    return " | ".join(side or "empty" for side in sides)
