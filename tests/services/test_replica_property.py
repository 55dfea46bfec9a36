"""The feed's copy of the book (W1, W2): every client sees the whole book, whenever it joins."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.realtime.feed import FeedHub
from exchange.realtime.replica import LEVELS_MAX, BookReplica, DeltaResult
from exchange.realtime.send_queue import SendQueue

SYMBOL = "BTC-USDT"
TOPIC = f"{SYMBOL}@depth"

prices = st.integers(1, 12).map(lambda tick: f"{tick}.50")
quantities = st.integers(0, 3).map(str)
changes = st.lists(st.tuples(prices, quantities), max_size=3, unique_by=lambda level: level[0])


class Market:
    """The publisher's side: the true book, its deltas, and the snapshot stored in Redis."""

    def __init__(self) -> None:
        self.sequence = 0
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.stored = self.snapshot()

    def delta(self, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> bytes:
        for side, moved in ((self.bids, bids), (self.asks, asks)):
            for price, quantity in moved:
                side.pop(price, None)
                if quantity != "0":
                    side[price] = quantity
        self.sequence += 1
        frame = self._frame("delta", bids, asks)
        return msgspec.json.encode({**frame, "previous": self.sequence - 1})

    def snapshot(self) -> bytes:
        levels = list(self.bids.items()), list(self.asks.items())
        return msgspec.json.encode(self._frame("snapshot", *levels))

    def _frame(self, kind: str, bids: object, asks: object) -> dict[str, object]:
        time = f"2026-01-01T00:00:00.{self.sequence:03}Z"
        return {
            "channel": TOPIC,
            "type": kind,
            "sequence": self.sequence,
            "time": time,
            "bids": bids,
            "asks": asks,
        }


class Client:
    """What a careful client does: snapshots replace, deltas must follow without a gap."""

    def __init__(self) -> None:
        self.send_queue = SendQueue()
        self.sequence: int | None = None
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}

    def read(self) -> None:
        while self.send_queue.frames:
            self._take(msgspec.json.decode(self.send_queue.frames.popleft()))

    def _take(self, frame: dict[str, object]) -> None:
        if frame["type"] == "snapshot":
            self.bids, self.asks = dict(frame["bids"]), dict(frame["asks"])  # type: ignore[call-overload]
        else:
            assert frame["previous"] == self.sequence, "W1: a gap or a repeat reached a client"
            for side, key in ((self.bids, "bids"), (self.asks, "asks")):
                for price, quantity in frame[key]:  # type: ignore[attr-defined]
                    side.pop(price, None)
                    if quantity != "0":
                        side[price] = quantity
        self.sequence = frame["sequence"]  # type: ignore[assignment]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("delta"), changes, changes),
        st.tuples(st.just("lost"), changes, changes),
        st.tuples(st.just("repeat")),
        st.tuples(st.just("store")),
        st.tuples(st.just("resync")),
        st.tuples(st.just("reconnect")),
        st.tuples(st.just("join")),
        st.tuples(st.just("leave")),
    ),
    max_size=40,
)


class Run:
    """One hub over one market, with clients that come and go."""

    def __init__(self) -> None:
        self.market = Market()
        self.hub = FeedHub()
        self.hub.connected()
        self.clients: list[Client] = []
        self.sent: list[bytes] = []

    def step(self, kind: str, *arguments: list[tuple[str, str]]) -> None:
        getattr(self, kind)(*arguments)
        for client in self.clients:
            client.read()

    def delta(self, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
        self.sent.append(msgspec.msgpack.encode([(TOPIC, self.market.delta(bids, asks))]))
        self.hub.dispatch(self.sent[-1])

    def lost(self, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
        self.market.delta(bids, asks)

    def repeat(self) -> None:
        for message in self.sent[-3:]:
            self.hub.dispatch(message)

    def store(self) -> None:
        self.market.stored = self.market.snapshot()

    def resync(self) -> None:
        self.hub.load((symbol, self.market.stored) for symbol in self.hub.wanting())

    def reconnect(self) -> None:
        self.hub.connected()

    def join(self) -> None:
        client = Client()
        self.hub.join(client.send_queue)
        self.hub.follow(client.send_queue, TOPIC)
        self.clients.append(client)

    def leave(self) -> None:
        if self.clients:
            self.hub.leave(self.clients.pop(0).send_queue)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_snapshot_and_deltas_are_the_full_book_at_any_join_point(
    script: list[tuple[str, list[tuple[str, str]], list[tuple[str, str]]]],
) -> None:
    run = Run()
    for step in script:
        run.step(*step)
    run.join()
    # The worker's next batch shows a loss; its trailing write then heals it.
    run.step("delta", [("1.50", "9")], [])
    run.step("store")
    run.step("resync")
    for client in run.clients:
        assert (client.sequence, client.bids, client.asks) == (
            run.market.sequence,
            run.market.bids,
            run.market.asks,
        )


def test_repeated_delta_is_not_forwarded() -> None:
    run = Run()
    run.join()
    run.resync()
    run.delta([("1.50", "1")], [])
    run.repeat()
    kinds = [msgspec.json.decode(frame)["type"] for frame in run.clients[0].send_queue.frames]
    assert kinds == ["snapshot", "delta"]


def test_gap_holds_deltas_back_until_a_snapshot_reaches_them() -> None:
    market, replica = Market(), BookReplica(SYMBOL)
    assert replica.load(market.snapshot())
    market.delta([("1.50", "1")], [])
    assert replica.apply(market.delta([("2.50", "1")], [])) is DeltaResult.GAP
    assert replica.apply(market.delta([("3.50", "1")], [])) is DeltaResult.BUFFERED
    assert not replica.load(market.stored), "the stored snapshot is from before the gap"
    assert replica.load(market.snapshot())
    assert replica.sequence == 3
    assert msgspec.json.decode(replica.snapshot())["bids"] == [
        ["3.50", "1"],
        ["2.50", "1"],
        ["1.50", "1"],
    ]


def test_snapshot_older_than_what_was_forwarded_is_refused_at_first() -> None:
    market, replica = Market(), BookReplica(SYMBOL)
    assert replica.load(market.snapshot())
    replica.apply(market.delta([("1.50", "1")], []))
    replica.doubt()
    assert not replica.load(market.stored)
    assert replica.load(market.stored, accept_older=True)


def test_levels_beyond_a_truncated_snapshot_are_not_shown() -> None:
    """Beyond the worst stored price levels may exist that nobody told: none is better than some."""
    market, replica = Market(), BookReplica(SYMBOL)
    market.asks = {str(price): "1" for price in range(100, 100 + LEVELS_MAX)}
    assert replica.load(market.snapshot())
    replica.apply(market.delta([], [("5000", "1")]))
    assert ["5000", "1"] not in msgspec.json.decode(replica.snapshot())["asks"]
    before = replica.wants_snapshot
    eaten = [(str(price), "0") for price in range(100, 700)]
    replica.apply(market.delta([], eaten))
    assert (before, replica.wants_snapshot) == (False, True), "few known levels are left"
    assert replica.is_live


def test_books_sort_by_number_not_by_text() -> None:
    market, replica = Market(), BookReplica(SYMBOL)
    market.delta([("9", "1"), ("10", "1"), ("9.5", "1")], [("100", "1"), ("99", "1")])
    assert replica.load(market.snapshot())
    frame = msgspec.json.decode(replica.snapshot())
    assert [price for price, _ in frame["bids"]] == ["10", "9.5", "9"]
    assert [price for price, _ in frame["asks"]] == ["99", "100"]
