"""Scenarios that read like a trading log: `command -> what happened`, one a line.

    sell #1 5@101                   limit order 1; options: post ioc fok market exempt by=ACCOUNT
    buy #2 quote 505@102            market order that may spend 505 tick-lots, bound 102
    amend #1 4@100                  also `4` or `@100` alone; option: keep
    cancel #1 | cancel-all by=7 [buy|sell] | halt | resume | fault #1 [place] | book

Events: `rest #1 5@101` (in the book after its own command) · `#1x#3 5@101` (maker x taker) ·
`no #4 code` · `gone #2 2 code` (code left out when the user cancelled) · `now #1 4/6@100 [kept]`
(left/total) · `state 1` · `nothing`. A code is written without its group. An order's account is its
own unless `by` says otherwise. Every invariant is checked after every line.
"""

import re

from matching.engine import Engine
from matching.messages import (
    BUY,
    BY_USER,
    FOK,
    GTC,
    HALT,
    IOC,
    OPEN,
    SELL,
    STP_CANCEL_INCOMING,
    STP_NONE,
    Amend,
    Cancel,
    CancelAll,
    Command,
    CommandRefused,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderRejected,
    Place,
    RefuseFaulty,
    SetState,
    StateChanged,
    Trade,
)

SYMBOL = 1
SIDES = {"buy": BUY, "sell": SELL}
# Accounts of orders without `by`; far from the small numbers that scenarios use.
LONE_ACCOUNTS = 1_000


def run(log: str) -> Engine:
    """Play a scenario and return the engine; an unexpected line fails with its text."""
    engine = Engine()
    for line in filter(None, map(str.strip, log.splitlines())):
        words, arrow, expected = line.partition("->")
        assert arrow, f"a line needs an expectation: {line}"
        happened = _book_text(engine) if words.strip() == "book" else _play(engine, words.split())
        assert happened == expected.strip(), f"{line}\n  happened: {happened}"
        engine.check()
    return engine


def _play(engine: Engine, words: list[str]) -> str:
    command = _command(engine.sequence + 1, words)
    events = engine.apply(command)
    texts = [text for event in events if (text := _event_text(event))]
    if isinstance(command, Place):
        refused = isinstance(events[0], OrderRejected)
        assert refused or isinstance(events[0], OrderAccepted), "an order is accepted or rejected"
    if isinstance(command, Place | Amend):
        order = engine.book(SYMBOL).orders.get(command.order_id)
        if order is not None and order.priority == engine.sequence:
            texts.append(f"rest #{order.order_id} {order.left_lots}@{order.price_ticks}")
    return ", ".join(texts) or "nothing"


def _command(number: int, words: list[str]) -> Command:
    verb, *rest = words
    options = {word for word in rest if word.isalpha()}
    (account,) = [int(word[3:]) for word in rest if word.startswith("by=")] or [0]
    (order,) = [int(word[1:]) for word in rest if word.startswith("#")] or [0]
    match verb:
        case "buy" | "sell":
            return _place(SIDES[verb], order, account or LONE_ACCOUNTS + order, options, rest)
        case "cancel":
            return Cancel(number, 0, SYMBOL, order)
        case "cancel-all":
            (side,) = [SIDES[word] for word in options] or [-1]
            return CancelAll(number, 0, SYMBOL, account, side)
        case "amend":
            price, quantity = _terms(rest)
            return Amend(number, 0, SYMBOL, order, price, quantity, "keep" in options)
        case "halt" | "resume":
            return SetState(number, 0, SYMBOL, HALT if verb == "halt" else OPEN)
        case "fault":
            return RefuseFaulty(number, 0, SYMBOL, order, "place" in options)
    raise ValueError(f"unknown verb: {verb}")


def _place(side: int, order: int, account: int, options: set[str], rest: list[str]) -> Place:
    unknown = options - {"post", "ioc", "fok", "market", "exempt", "quote"}
    assert not unknown, f"unknown options: {unknown}"
    price, amount = _terms(rest)
    by_quote = "quote" in options
    market = by_quote or "market" in options
    return Place(
        command_id=order,
        time_ms=0,
        symbol_id=SYMBOL,
        order_id=order,
        account_id=account,
        side=side,
        price_ticks=price,
        quantity_lots=0 if by_quote else amount,
        time_in_force=FOK if "fok" in options else IOC if market or "ioc" in options else GTC,
        post_only="post" in options,
        market=market,
        budget_ticklots=amount if by_quote else 0,
        self_trade=STP_NONE if "exempt" in options else STP_CANCEL_INCOMING,
    )


def _terms(words: list[str]) -> tuple[int, int]:
    """Return (price_ticks, lots or tick-lots) of `5@101`, `5` or `@101`; 0 for what is absent."""
    (terms,) = [word for word in words if re.fullmatch(r"\d*(@\d+)?", word)]
    amount, _, price = terms.partition("@")
    return int(price or 0), int(amount or 0)


def _event_text(event: Event) -> str:
    match event:
        case Trade():
            parties = f"#{event.maker_order_id}x#{event.taker_order_id}"
            return f"{parties} {event.quantity_lots}@{event.price_ticks}"
        case OrderRejected() | CommandRefused():
            return f"no #{event.order_id} {_short(event.code)}"
        case OrderCancelled():
            code = "" if event.code == BY_USER else f" {_short(event.code)}"
            return f"gone #{event.order_id} {event.left_lots}{code}"
        case OrderAmended():
            kept = " kept" if event.kept_priority else ""
            quantities = f"{event.left_lots}/{event.quantity_lots}"
            return f"now #{event.order_id} {quantities}@{event.price_ticks}{kept}"
        case StateChanged():
            return f"state {event.state}"
    return ""  # OrderAccepted: `_play` has asserted it, the rest tells what came of it


def _short(code: str) -> str:
    return code.partition(".")[2]


def _book_text(engine: Engine) -> str:
    bids, asks = engine.book(SYMBOL).depth(100)
    sides = (" ".join(f"{lots}@{price}" for price, lots in side) for side in (bids, asks))
    return " | ".join(side or "empty" for side in sides)
