"""The whole engine state as bytes, and back: `engine = snapshot_decode(snapshot_encode(engine))`.

The bytes begin with a version. A new field goes to the end of its struct with a default, which
keeps the version. A version that this module does not know is refused.
"""

from typing import Final

import msgspec
from msgspec import Struct

from matching.engine.advanced import AdvancedState
from matching.engine.book import Book
from matching.engine.components import TRIGGERED, WATCHING, Band, LinkedOrders, Uncross, Waiting
from matching.engine.core import Engine
from matching.engine.messages import BUY, SELL, Place
from matching.engine.resting import RestingOrder, RestingValues
from matching.state.hash import order_lists, triggered_orders

SNAPSHOT_VERSION: Final = 1


class SnapshotRefused(Exception):
    """The bytes are no snapshot, or a snapshot of a version that this engine does not load."""


class _Head(Struct, array_like=True):
    version: int


class _OrderSnapshot(RestingValues, array_like=True, gc=False):
    pass


class _WaitingSnapshot(Struct, array_like=True):
    command: Place
    priority: int
    stage: int
    stop_ticks: int
    mark_ticks: int
    at_ticks: int


class _ListSnapshot(Struct, array_like=True):
    list_id: int
    kind: int
    parent_id: int
    order_ids: list[int]


class _AdvancedSnapshot(Struct, array_like=True):
    sequence: int
    now_ms: int
    last_ticks: int
    is_last_fresh: bool
    waiting: list[_WaitingSnapshot]
    triggered: list[int]
    cancels: list[tuple[int, str]]
    cancel_after: list[tuple[int, int, int]]
    lists: list[_ListSnapshot]
    at_open: list[int]
    limits: list[tuple[int, int, int]]
    features: list[int]
    band: tuple[int | bool, ...] | None
    samples: list[list[int]]
    uncross: tuple[int, ...] | None


class _BookSnapshot(Struct, array_like=True):
    symbol_id: int
    state: int
    orders: list[_OrderSnapshot]  # each level's queue from its front
    advanced: _AdvancedSnapshot | None


class _Snapshot(Struct, array_like=True):
    version: int
    sequence: int
    books: list[_BookSnapshot]


_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(_Head)
_decoder = msgspec.msgpack.Decoder(_Snapshot)


def snapshot_encode(engine: Engine) -> bytes:
    """Return the engine's state as bytes. Equal states give equal bytes."""
    books = [_book_snapshot(book) for _, book in sorted(engine.books.items())]
    return _encoder.encode(_Snapshot(SNAPSHOT_VERSION, engine.sequence, books))


def snapshot_decode(data: bytes) -> Engine:
    """Return an engine in the state of a snapshot's bytes. Raises SnapshotRefused."""
    try:
        version = _head_decoder.decode(data).version
        if version != SNAPSHOT_VERSION:
            raise SnapshotRefused(
                f"snapshot version {version}; this engine loads {SNAPSHOT_VERSION}"
            )
        snapshot = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise SnapshotRefused(f"not an engine snapshot: {error}") from error
    engine = Engine()
    engine.sequence = snapshot.sequence
    for book_snapshot in snapshot.books:
        _book_fill(engine.book(book_snapshot.symbol_id), book_snapshot)
    return engine


def _book_snapshot(book: Book) -> _BookSnapshot:
    orders = [
        _OrderSnapshot(*order.values())
        for side_code in (BUY, SELL)
        for key in book.sides[side_code][0].keys
        for order in book.sides[side_code][0].levels[key]
    ]
    advanced = _advanced_snapshot(book.advanced) if book.advanced is not None else None
    return _BookSnapshot(book.symbol_id, book.state, orders, advanced)


def _advanced_snapshot(advanced: AdvancedState) -> _AdvancedSnapshot:
    return _AdvancedSnapshot(
        sequence=advanced.sequence,
        now_ms=advanced.now_ms,
        last_ticks=advanced.last_ticks,
        is_last_fresh=advanced.is_last_fresh,
        waiting=[
            _WaitingSnapshot(*msgspec.structs.astuple(one))
            for _, one in sorted(advanced.waiting.items())
        ],
        triggered=[one.command.order_id for one in triggered_orders(advanced)],
        cancels=list(advanced.cancels),
        cancel_after=sorted((*key, due_ms) for key, due_ms in advanced.cancel_after.items()),
        lists=[
            _ListSnapshot(one.list_id, one.kind, one.parent_id, one.order_ids)
            for one in order_lists(advanced)
        ],
        at_open=sorted(advanced.at_open),
        limits=sorted((account_id, *pair) for account_id, pair in advanced.limits.items()),
        features=sorted(advanced.features),
        band=advanced.band.as_tuple() if advanced.band is not None else None,
        samples=list(advanced.samples),
        uncross=msgspec.structs.astuple(advanced.uncross) if advanced.uncross is not None else None,
    )


def _book_fill(book: Book, snapshot: _BookSnapshot) -> None:
    book.state = snapshot.state
    for values in snapshot.orders:
        book.add(RestingOrder(*msgspec.structs.astuple(values)))
    if snapshot.advanced is not None:
        book.advanced = AdvancedState()
        if snapshot.advanced.limits or snapshot.advanced.cancel_after:
            book.by_account()
        _advanced_fill(book, book.advanced, snapshot.advanced)


def _advanced_fill(book: Book, advanced: AdvancedState, snapshot: _AdvancedSnapshot) -> None:
    advanced.sequence = snapshot.sequence
    advanced.now_ms = snapshot.now_ms
    advanced.last_ticks = snapshot.last_ticks
    advanced.is_last_fresh = snapshot.is_last_fresh
    for order in book.orders.values():
        advanced.expiry_add(order.order_id, order.expire_ms)
    for one in snapshot.waiting:
        waiting = Waiting(*msgspec.structs.astuple(one))
        advanced.waiting_add(waiting)
        if waiting.stage == WATCHING:
            advanced.watch(waiting)
    for order_id in snapshot.triggered:
        assert advanced.waiting[order_id].stage == TRIGGERED
        advanced.triggered.append(advanced.waiting[order_id])
    advanced.triggered_live = len(advanced.triggered)
    advanced.cancels.extend(snapshot.cancels)
    advanced.cancel_after = {
        (account_id, tag): due_ms for account_id, tag, due_ms in snapshot.cancel_after
    }
    for kept in snapshot.lists:
        order_list = LinkedOrders(kept.list_id, kept.kind, kept.parent_id, kept.order_ids)
        advanced.list_of.update(dict.fromkeys(kept.order_ids, order_list))
    advanced.at_open = set(snapshot.at_open)
    advanced.limits = {account_id: (opened, stops) for account_id, opened, stops in snapshot.limits}
    advanced.features = set(snapshot.features)
    advanced.band = _band_of(snapshot.band) if snapshot.band is not None else None
    advanced.samples.extend(snapshot.samples)
    advanced.sum_ticks = sum(sample[1] for sample in advanced.samples)
    advanced.sum_trades = sum(sample[2] for sample in advanced.samples)
    advanced.uncross = Uncross(*snapshot.uncross) if snapshot.uncross is not None else None


def _band_of(values: tuple[int | bool, ...]) -> Band:
    band = msgspec.convert(dict(zip(Band.__struct_fields__, values, strict=False)), Band)
    assert band.as_tuple() == values
    return band
