"""The frames of a batch: depth, trades, the market state, and each account's own orders.

The frame maker remembers the quantities that the public feed has shown. A delta has only levels
that differ from them: a price that an order only waited at or passed through is in no frame (W2).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from exchange.domain.ids import time_ms_text
from exchange.domain.units import SymbolUnits
from exchange.realtime.frames import (
    Frame,
    Level,
    MarketState,
    SymbolText,
    command_frame,
    depth_delta,
    order_frame,
    state_frame,
    trade_frame,
)
from matching.engine.auction import indication
from matching.engine.book import Book
from matching.engine.core import Engine
from matching.engine.messages import (
    BUY,
    PHASE_CALL,
    PHASE_LIMIT,
    PHASE_NONE,
    PHASE_PAUSE,
    SELL,
    AuctionUncrossed,
    Trade,
)
from matching.engine.states import GATHERING
from matching.worker.ports import Batch
from orders.commands.words import SIDE_TEXTS, STATE_TEXTS
from orders.reads.commands import OWN_KINDS, command_json
from orders.reads.orders import order_json
from orders.recording.changes import BatchChanges
from orders.recovery.feeds import SymbolFeed

PHASE_TEXTS: Final = {
    PHASE_NONE: "none",
    PHASE_LIMIT: "limit",
    PHASE_PAUSE: "pause",
    PHASE_CALL: "auction",
}

_Depth = tuple[dict[int, int], dict[int, int]]  # by side: price ticks -> lots shown

# With more open orders the auction price is indicated less often: it takes 0.4 to 1.1 us an order.
INDICATED_AT_ONCE_MAX: Final = 2_000
INDICATED_EVERY_MS: Final = 500


class PublicChanges(NamedTuple):
    """The public changes of a batch."""

    levels: dict[int, tuple[list[Level], list[Level]]]  # by symbol id: bids and asks, best first
    markets: list[int]  # ids of symbols whose state channel gets a frame

    def symbol_ids(self, changes: BatchChanges) -> set[int]:
        """Return the symbols whose book, last price, state or reference may have changed."""
        return {*changes.levels, *self.markets}


class FrameMaker:
    """Maker of one partition's frames. One instance a process: it keeps what the feed showed."""

    def __init__(
        self,
        engine: Engine,
        units: Mapping[int, SymbolUnits],
        feeds: dict[int, SymbolFeed],
    ) -> None:
        """Start from an engine that stands exactly at the last committed batch."""
        self._engine = engine
        self._units = units
        self._feeds = feeds
        self._texts: dict[int, SymbolText] = {}
        self._depths = {symbol_id: _depth_of(book) for symbol_id, book in engine.books.items()}
        self._indicated_ms: dict[int, int] = {}
        self.look_again: dict[int, int] = {}  # by symbol id: when to indicate again, in ms
        self._states = {symbol_id: book.state for symbol_id, book in engine.books.items()}
        for symbol_id, book in engine.books.items():
            feed = self._feed(symbol_id)
            feed.market = market_of(book, feed.market, None)

    @property
    def states(self) -> Mapping[int, int]:
        """The market states by symbol id, as the last batch left them."""
        return self._states

    def text(self, symbol_id: int) -> SymbolText:
        """Return the formatter of the symbol's numbers."""
        text = self._texts.get(symbol_id)
        if text is None:
            text = self._texts[symbol_id] = SymbolText(self._units[symbol_id])
        return text

    def advance(self, batch: Batch, changes: BatchChanges) -> PublicChanges:
        """Bring the feed to the engine's state after the batch; return the public changes."""
        for symbol_id in changes.auctions:
            self._touch_all(symbol_id, changes)
        levels = {}
        for symbol_id, touched in changes.levels.items():
            changed = self._levels_changed(symbol_id, touched)
            if changed is not None:
                levels[symbol_id] = changed
                self._feed(symbol_id).sequence += 1
        for symbol_id, _, trade in changes.trades:
            self._feed(symbol_id).last_ticks = trade.price_ticks
        self._states.update(changes.states)
        markets = []
        self.look_again = {}
        for symbol_id in {row.command.symbol_id for row in batch.sequenced}:
            feed = self._feed(symbol_id)
            uncrossed = changes.uncrossed.get(symbol_id)
            book = self._engine.books[symbol_id]
            is_early = book.state in GATHERING and self._indicates_later(book, batch.time_ms)
            market = market_of(book, feed.market, uncrossed, keeps_indication=is_early)
            if market != feed.market:
                feed.market = market
                markets.append(symbol_id)
        return PublicChanges(levels, markets)

    def frames(
        self,
        batch: Batch,
        changes: BatchChanges,
        public: PublicChanges,
        trade_ids: Sequence[int],
        rows: Sequence[Mapping[str, Any]],
    ) -> list[Frame]:
        """Return the batch's frames, public frames first. `rows` are the changed orders' rows."""
        time = time_ms_text(batch.time_ms)
        frames = [
            depth_delta(
                self.text(symbol_id),
                sequence=self._feeds[symbol_id].sequence,
                time=time,
                bids=bids,
                asks=asks,
            )
            for symbol_id, (bids, asks) in public.levels.items()
        ]
        frames += [
            trade_frame(
                self.text(symbol_id),
                trade_id=trade_id,
                price_ticks=trade.price_ticks,
                quantity_lots=trade.quantity_lots,
                taker_side=SIDE_TEXTS[trade.taker_side],
                time=time,
            )
            for trade_id, (symbol_id, _, trade) in zip(trade_ids, changes.trades, strict=True)
        ]
        frames += [
            state_frame(self.text(symbol_id), self._feeds[symbol_id].market, time=time)
            for symbol_id in public.markets
        ]
        return frames + [self._order_frame(changes, trade_ids, row) for row in rows]

    def answers(self, rows: Sequence[Mapping[str, Any]]) -> list[Frame]:
        """Return the frames that answer accounts' commands. `rows` are rows of orders_command."""
        return [
            command_frame(
                row["account_id"],
                command=command_json(row, self.text(row["symbol_id"]).code),
            )
            for row in rows
            if row["account_id"] and row["kind"] in OWN_KINDS
        ]

    def _order_frame(
        self, changes: BatchChanges, trade_ids: Sequence[int], row: Mapping[str, Any]
    ) -> Frame:
        text = self.text(row["symbol_id"])
        fills = [
            _fill(text, trade_ids[index], changes.trades[index][2], role)
            for index, role in changes.orders[row["id"]].fills
        ]
        return order_frame(row["account_id"], order=order_json(row, text.code), fills=fills)

    def _feed(self, symbol_id: int) -> SymbolFeed:
        feed = self._feeds.get(symbol_id)
        if feed is None:
            feed = self._feeds[symbol_id] = SymbolFeed()
        return feed

    def _levels_changed(
        self, symbol_id: int, touched: set[tuple[int, int]]
    ) -> tuple[list[Level], list[Level]] | None:
        """Return the touched levels whose shown quantity changed, or None when none did."""
        depth = self._depths.get(symbol_id)
        if depth is None:
            depth = self._depths[symbol_id] = ({}, {})
        book = self._engine.books[symbol_id]
        sides: tuple[list[Level], list[Level]] = ([], [])
        for side, price_ticks in touched:
            lots = book.level_quantity(side, price_ticks)
            shown = depth[side]
            if lots == shown.get(price_ticks, 0):
                continue
            if lots:
                shown[price_ticks] = lots
            else:
                del shown[price_ticks]
            sides[side].append((price_ticks, lots))
        if not (sides[BUY] or sides[SELL]):
            return None
        sides[BUY].sort(reverse=True)
        sides[SELL].sort()
        return sides

    def _indicates_later(self, book: Book, time_ms: int) -> bool:
        """Whether the auction's indication waits, since it reads every order of a large book."""
        symbol_id = book.symbol_id
        due_ms = self._indicated_ms.get(symbol_id, 0) + INDICATED_EVERY_MS
        if len(book.orders) > INDICATED_AT_ONCE_MAX and time_ms < due_ms:
            self.look_again[symbol_id] = due_ms
            return True
        self._indicated_ms[symbol_id] = time_ms
        return False

    def _touch_all(self, symbol_id: int, changes: BatchChanges) -> None:
        """Touch every level after an auction's trades: no event says which levels changed."""
        after = _depth_of(self._engine.books[symbol_id])
        for side, shown in enumerate(self._depths.get(symbol_id, ({}, {}))):
            for price_ticks in shown.keys() | after[side].keys():
                changes.touch(symbol_id, side, price_ticks)


def market_of(
    book: Book,
    before: MarketState,
    uncrossed: AuctionUncrossed | None,
    *,
    keeps_indication: bool = False,
) -> MarketState:
    """Return what the state channel shows of a symbol, given what it showed `before`.

    `uncrossed` is an auction that ended since then; its result stays until orders gather again.
    """
    state, advanced = STATE_TEXTS[book.state], book.advanced
    if advanced is None:  # nearly always: the symbol is open or halted, nothing more
        return before if state == before.state else MarketState(state)
    band = advanced.band
    phase, due_ms, reference_ticks = PHASE_NONE, 0, 0
    if band is not None:
        phase, due_ms, reference_ticks = band.phase, band.due_ms, band.reference_ticks
    due_ms = due_ms if phase != PHASE_NONE else 0
    indicative, auction = (0, 0), (before.uncross_ticks, before.uncross_lots)
    if advanced.uncross is not None:  # not finished: the last indication stays until the end
        indicative = before.indicative_ticks, before.indicative_lots
    elif book.state in GATHERING:
        auction = (0, 0)
        if keeps_indication:
            indicative = before.indicative_ticks, before.indicative_lots
        else:
            indicative = indication(book, advanced)[:2]
    if uncrossed is not None:
        auction = uncrossed.price_ticks, uncrossed.quantity_lots
    return MarketState(state, PHASE_TEXTS[phase], due_ms, *indicative, reference_ticks, *auction)


def _depth_of(book: Book) -> _Depth:
    bids, asks = (
        {key * side.sign: level.quantity_lots for key, level in side.levels.items()}
        for side in (book.bids, book.asks)
    )
    return bids, asks


def _fill(text: SymbolText, trade_id: int, trade: Trade, role: str) -> dict[str, str]:
    return {
        "trade_id": str(trade_id),
        "price": text.price(trade.price_ticks),
        "quantity": text.quantity(trade.quantity_lots),
        "role": role,
    }
