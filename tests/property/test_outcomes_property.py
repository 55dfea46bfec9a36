"""orders.recording in random histories: rows and feed follow the engine, batch by batch.

The rows are kept here the way the statement of orders/recording/rows.py keeps them, without a
database (tests/services/test_results_advanced.py has one), so that thousands of commands take a
second.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from exchange.domain.enums import OrderStatus
from exchange.domain.units import SymbolUnits
from exchange.realtime.frames import Frame
from matching.engine import cascade
from matching.engine import messages as m
from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.resting import RestingOrder
from matching.state.hash import open_order, open_orders
from matching.worker.ports import Batch
from orders.lifecycle import advance, is_final
from orders.recording.changes import BatchChanges, OrderChange
from orders.recording.fold import batch_changes
from orders.recording.frames import FrameMaker, PublicChanges
from orders.recording.rows import book_places_take
from orders.recovery.feeds import SymbolFeed
from tests.histories import History

SEEDS = range(12)
COMMANDS = 600
SYMBOLS = {1: "AAA-QQQ", 2: "BBB-QQQ"}
LEVELS_MAX = 1_000


def units_of(symbol_id: int, code: str) -> SymbolUnits:
    return SymbolUnits.build(
        symbol_id=symbol_id,
        code=code,
        base_asset_id=1,
        quote_asset_id=2,
        base_scale=0,
        quote_scale=0,
        tick=Decimal(1),
        lot=Decimal(1),
    )


@dataclass(slots=True)
class Row:
    """An order's row: what of it events change, in ticks and lots."""

    place: m.Place
    price: int
    quantity: int
    status: OrderStatus = OrderStatus.NEW
    engine_seq: int = 0
    priority_seq: int = 0
    stop: int = 0
    display: int = 0
    filled: int = 0
    reason: str | None = None

    def write(self, change: OrderChange) -> None:
        assert not is_final(self.status), "what has ended never changes again"
        assert (self.engine_seq == 0) == (change.engine_seq != 0), "sequenced exactly once"
        # O4: by the row's own status, as the statement does.
        self.status = advance(self.status, change.status or self.status)
        self.engine_seq = change.engine_seq or self.engine_seq
        self.priority_seq = change.priority_seq or self.priority_seq
        self.price = change.price_ticks or self.price
        self.quantity = change.quantity_lots or self.quantity
        terms = change.terms or {}
        self.stop = terms.get("stop_ticks", self.stop)
        self.display = terms.get("display_lots", self.display)
        self.filled += change.filled_lots
        self.reason = change.reason
        assert self.status is not OrderStatus.NEW
        assert self.place.budget_ticklots or self.filled <= self.quantity
        if self.status is OrderStatus.FILLED and not self.place.budget_ticklots:
            assert self.filled == self.quantity
        assert self.status is not OrderStatus.OPEN or not self.filled


class Reader:
    """A subscriber of every public channel: the book of each symbol, and its newest state."""

    def __init__(self) -> None:
        self.depths: dict[str, dict[str, dict[str, str]]] = {}
        self.sequences: dict[str, int] = {}
        self.states: dict[str, dict[str, Any]] = {}

    def read(self, frames: list[Frame]) -> None:
        for topic, body in frames:
            symbol, _, kind = topic.partition("@")
            if kind == "depth":
                self._depth(symbol, msgspec.json.decode(body))
            elif kind == "state":
                self.states[symbol] = msgspec.json.decode(body)

    def _depth(self, symbol: str, delta: dict[str, Any]) -> None:
        assert delta["previous"] == self.sequences.get(symbol, 0), "W1: no gap, no repeat"
        self.sequences[symbol] = delta["sequence"]
        assert delta["bids"] or delta["asks"], "a delta tells something"
        sides = self.depths.setdefault(symbol, {"bids": {}, "asks": {}})
        for side, levels in sides.items():
            for price, quantity in delta[side]:
                assert levels.get(price, "0") != quantity, "a level in a delta has changed"
                levels[price] = quantity
                if quantity == "0":
                    del levels[price]


@dataclass(slots=True)
class Run:
    """An engine, the rows that its events make, and a reader of its feed."""

    engine: Engine = field(default_factory=Engine)
    feeds: dict[int, SymbolFeed] = field(default_factory=dict)
    rows: dict[int, Row] = field(default_factory=dict)
    reader: Reader = field(default_factory=Reader)
    frame_maker: FrameMaker = field(init=False)
    statuses: set[OrderStatus] = field(default_factory=set)
    prevented: int = 0
    fills: int = 0

    def __post_init__(self) -> None:
        units = {symbol_id: units_of(symbol_id, code) for symbol_id, code in SYMBOLS.items()}
        self.frame_maker = FrameMaker(self.engine, units, self.feeds)

    def batch(self, commands: list[m.Command]) -> None:
        sequenced = []
        for command in commands:
            places = command.orders if isinstance(command, m.PlaceList) else [command]
            for place in places:
                if isinstance(place, m.Place):
                    self.rows[place.order_id] = row_of(place)
                elif isinstance(place, m.RefuseFaulty) and place.is_place:
                    self.rows[place.order_id] = row_of(m.Place(1, 1, 1, 1, 1, 0, 1, 1))
            events = self.engine.apply(command)
            sequenced.append(Sequenced(self.engine.sequence, command, events))
        batch = Batch(sequenced, "0-0", 0, 1_767_225_600_000)
        changes = batch_changes(sequenced, self.frame_maker.states)
        book_places_take(changes, self.engine.books)
        public = self.frame_maker.advance(batch, changes)
        for order_id, change in changes.orders.items():
            self.rows[order_id].write(change)
            self.statuses.add(self.rows[order_id].status)
        self.reader.read(self.public_frames(batch, changes, public))
        self.check(sequenced, changes)

    def public_frames(
        self, batch: Batch, changes: BatchChanges, public: PublicChanges
    ) -> list[Frame]:
        trade_ids = list(range(len(changes.trades)))
        return self.frame_maker.frames(batch, changes, public, trade_ids, [])

    def check(self, sequenced: list[Sequenced], changes: BatchChanges) -> None:
        events = [event for row in sequenced for event in row.events]
        trades = [event for event in events if isinstance(event, m.Trade)]
        prevented = [event for event in events if isinstance(event, m.SelfTradePrevented)]
        assert [trade for _, _, trade in changes.trades] == trades
        assert [match for _, _, match in changes.prevented] == prevented
        self.prevented += len(prevented)
        told = [index for change in changes.orders.values() for index, _ in change.fills]
        assert sorted(told) == sorted(2 * list(range(len(trades)))), "W3: both sides of each trade"
        self.fills += len(told)
        for symbol_id, book in self.engine.books.items():
            self.check_depth(symbol_id)
            self.check_state(symbol_id)
            for order in open_orders(book):
                self.check_row(order)
        for order_id, row in self.rows.items():
            book = self.engine.books[row.place.symbol_id]
            assert is_final(row.status) == (open_order(book, order_id) is None)

    def check_depth(self, symbol_id: int) -> None:
        """W2: the deltas add up to the book, without what icebergs hide and what waits."""
        told = self.reader.depths.get(SYMBOLS[symbol_id], {"bids": {}, "asks": {}})
        book = self.engine.books[symbol_id].depth(LEVELS_MAX)
        for levels, side in zip(book, ("bids", "asks"), strict=True):
            assert {str(price): str(lots) for price, lots in levels} == told[side]

    def check_state(self, symbol_id: int) -> None:
        book, told = self.engine.books[symbol_id], self.reader.states.get(SYMBOLS[symbol_id])
        if told is None:
            assert book.state == m.OPEN
            return
        assert told["state"] == STATE_WORDS[book.state]
        advanced = book.advanced
        assert advanced is not None or told["reference_price"] is None
        if advanced is not None and advanced.band is not None:
            assert told["reference_price"] == text_or_none(advanced.band.reference_ticks)
        if advanced is not None and book.state in (m.PRE_OPEN, m.AUCTION) and not advanced.uncross:
            found = self.engine.indication(symbol_id)
            assert told["indicative_price"] == text_or_none(found.price_ticks)
            assert told["indicative_quantity"] == text_or_none(found.quantity_lots)

    def check_row(self, order: Any) -> None:
        """B3: an open order's row says what the engine's order says."""
        if not isinstance(order, RestingOrder):
            place, row = order.command, self.rows[order.command.order_id]
            assert row.status is OrderStatus.WAITING
            assert (row.price, row.quantity) == (place.price_ticks, place.quantity_lots)
            terms = place.terms or m.Terms()
            assert (row.stop, row.display) == (terms.stop_ticks, terms.display_lots)
            assert row.priority_seq == order.priority
            return
        row = self.rows[order.order_id]
        left = order.left_lots + order.hidden_lots
        assert row.status is (OrderStatus.PARTIALLY_FILLED if row.filled else OrderStatus.OPEN)
        assert (row.price, row.quantity) == (order.price_ticks, order.quantity_lots)
        assert (row.filled, row.display) == (order.quantity_lots - left, order.display_lots)
        assert row.priority_seq == order.priority


STATE_WORDS = (
    "open",
    "halt",
    "pre_open",
    "auction",
    "auction_cutoff",
    "post_only",
    "cancel_only",
    "closed",
)


def text_or_none(count: int) -> str | None:
    return str(count) if count else None


def row_of(place: m.Place) -> Row:
    terms = place.terms or m.Terms()
    return Row(
        place,
        place.price_ticks,
        place.quantity_lots,
        stop=terms.stop_ticks,
        display=terms.display_lots,
    )


def commands_of(seed: int) -> Iterator[m.Command]:
    """Commands as intake and worker send them: no id twice, no waiting order by quote amount."""
    chance = random.Random(seed)
    history = History(chance, ids_max=10**9)
    for command in history:
        if isinstance(command, m.Place) and command.budget_ticklots:
            terms = command.terms
            if terms is not None and terms.trigger:
                continue
        if isinstance(command, m.Expire):
            command.order_id = 0
        yield command


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_and_feed_follow_the_engine(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    # Work in pieces: what one command sets off is done in the rows of others.
    monkeypatch.setattr(cascade, "STEPS_PER_COMMAND_MAX", chance.choice((1, 3, 100)))
    commands = commands_of(seed)
    run = Run()
    done = 0
    while done < COMMANDS:
        wanted = [next(commands) for _ in range(chance.randint(1, 8))]
        run.batch(wanted)
        done += len(wanted)
        for symbol_id in SYMBOLS:
            while run.engine.needs_continue(symbol_id) and chance.random() < 0.7:
                run.batch([m.Continue(10**10 + run.engine.sequence, 0, symbol_id)])
    assert run.statuses == set(OrderStatus) - {OrderStatus.NEW}, "the history has some of each"
    assert run.prevented
    assert run.fills
