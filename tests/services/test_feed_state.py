"""The feed's state channel: its frames, what Redis keeps of them, who gets which and when."""

from decimal import Decimal

import msgspec
import pytest

from exchange.domain.ids import time_ms_text
from exchange.domain.units import SymbolUnits
from exchange.infra.redis import book_key, redis_client, state_key, top_key
from exchange.realtime.feed import FeedHub
from exchange.realtime.frames import PLAIN_MARKET, MarketState, SymbolText, state_frame
from exchange.realtime.publish import Publisher
from exchange.realtime.send_queue import SendQueue
from matching.engine import messages as m
from matching.engine.core import Engine
from matching.worker.redis import RedisFeed
from orders.recovery.feeds import SymbolFeed
from tests.factories.worker import TestClock

SYMBOL = "BTC-USDT"
TOPIC = f"{SYMBOL}@state"
UNITS = SymbolUnits.build(
    symbol_id=1,
    code=SYMBOL,
    base_asset_id=1,
    quote_asset_id=2,
    base_scale=8,
    quote_scale=8,
    tick=Decimal("0.01"),
    lot=Decimal("0.0001"),
)
TEXT = SymbolText(UNITS)


def frame(state: str, second: int = 0) -> bytes:
    return state_frame(TEXT, MarketState(state), time=time_ms_text(1_767_225_600_000 + second))[1]


def heard(send_queue: SendQueue) -> list[str]:
    frames = map(msgspec.json.decode, send_queue.frames)
    return [frame["state"] for frame in frames if frame["type"] == "state"]


def hub_with(*send_queues: SendQueue) -> FeedHub:
    hub = FeedHub()
    hub.connected()
    for send_queue in send_queues:
        hub.join(send_queue)
        hub.follow(send_queue, TOPIC)
    return hub


def dispatch(hub: FeedHub, data: bytes) -> None:
    hub.dispatch(msgspec.msgpack.encode([(TOPIC, data)]))


def test_a_state_reads_as_documented() -> None:
    market = MarketState("auction", "auction", 1_767_225_601_000, 10_050, 25_000, 10_000)
    topic, body = state_frame(TEXT, market, time=time_ms_text(1_767_225_600_007))
    assert topic == TOPIC
    assert msgspec.json.decode(body) == {
        "channel": TOPIC,
        "type": "state",
        "state": "auction",
        "phase": "auction",
        "due_at": "2026-01-01T00:00:01.000Z",
        "indicative_price": "100.5",
        "indicative_quantity": "2.5",
        "reference_price": "100",
        "uncross_price": None,
        "uncross_quantity": None,
        "time": "2026-01-01T00:00:00.007Z",
    }


def test_what_is_not_there_is_null() -> None:
    body = msgspec.json.decode(state_frame(TEXT, PLAIN_MARKET, time=time_ms_text(0))[1])
    empty = ("due_at", "indicative_price", "indicative_quantity", "reference_price")
    assert [body[name] for name in empty] == [None] * 4
    assert (body["state"], body["phase"]) == ("open", "none")


def test_a_late_subscriber_gets_the_newest_state_at_once() -> None:
    early, late = SendQueue(), SendQueue()
    hub = hub_with(early)
    dispatch(hub, frame("auction"))
    dispatch(hub, frame("open", 1))
    hub.join(late)
    hub.follow(late, TOPIC)
    assert heard(late) == ["open"]
    assert heard(early) == ["auction", "open"]


def test_the_first_subscriber_gets_what_is_stored() -> None:
    send_queue = SendQueue()
    hub = hub_with(send_queue)
    assert hub.resync.is_set()
    assert hub.wanting_states() == [SYMBOL]
    hub.load_states([(SYMBOL, None)])
    assert hub.wanting_states() == [SYMBOL], "not stored yet: asked for again"
    hub.load_states([(SYMBOL, frame("halt"))])
    assert (heard(send_queue), hub.wanting_states()) == (["halt"], [])


def test_a_stored_state_never_follows_a_newer_one() -> None:
    send_queue = SendQueue()
    hub = hub_with(send_queue)
    dispatch(hub, frame("open", 1))
    hub.load_states([(SYMBOL, frame("halt"))])
    assert heard(send_queue) == ["open"]


def test_after_a_lost_connection_the_stored_state_is_asked_for_again() -> None:
    send_queue = SendQueue()
    hub = hub_with(send_queue)
    dispatch(hub, frame("open"))
    hub.disconnected()
    hub.connected()
    assert hub.wanting_states() == [SYMBOL]
    hub.load_states([(SYMBOL, frame("halt", 1))])
    dispatch(hub, frame("open", 2))
    assert heard(send_queue)[-2:] == ["halt", "open"]


def test_who_left_while_waiting_gets_nothing() -> None:
    send_queue = SendQueue()
    hub = hub_with(send_queue)
    hub.unfollow(send_queue, TOPIC)
    assert hub.wanting_states() == []
    dispatch(hub, frame("open"))
    assert heard(send_queue) == []


def test_a_state_that_cannot_be_read_is_passed_over() -> None:
    send_queue = SendQueue()
    hub = hub_with(send_queue)
    hub.load_states([(SYMBOL, b"\xff")])
    dispatch(hub, b"\xff")
    assert heard(send_queue) == []
    dispatch(hub, frame("open"))
    assert heard(send_queue) == ["open"]


@pytest.mark.parametrize("way", ["batch", "books"])
def test_redis_keeps_the_newest_state(way: str) -> None:
    sent = frame("auction")
    with redis_client() as client:
        client.delete(state_key(SYMBOL))
        publisher = Publisher(client)
        if way == "batch":
            publisher.batch([(TOPIC, frame("open")), (TOPIC, sent)], tops={})
        else:
            publisher.books({}, tops={}, states={SYMBOL: sent})
        assert client.get(state_key(SYMBOL)) == sent
        client.delete(state_key(SYMBOL))


def redis_feed(publisher: Publisher, engine: Engine, feed: SymbolFeed) -> RedisFeed:
    return RedisFeed(
        publisher,
        partition_id=9_999,
        epoch=1,
        engine=engine,
        units={1: UNITS},
        feeds={1: feed},
        clock=TestClock(1_767_225_600_007),
        notify_settlement=lambda: None,
    )


def test_a_wiped_redis_gets_state_and_top_back_with_the_books() -> None:
    engine = Engine()
    engine.apply(m.SetBand(1, 0, 1, band_ppm=100_000, reference_ticks=10_000))
    engine.apply(m.Place(2, 0, 1, 2, 7, m.BUY, 9_990, 5))
    feed = SymbolFeed(sequence=3, last_ticks=9_995, market=MarketState("auction"))
    with redis_client() as client:
        keys = [state_key(SYMBOL), top_key(SYMBOL), book_key(SYMBOL)]
        client.delete(*keys)
        redis_feed(Publisher(client), engine, feed).snapshot([1])
        state, top, book = client.mget(keys)
        client.delete(*keys)
    told = msgspec.json.decode(state)
    assert (told["state"], told["time"]) == ("auction", "2026-01-01T00:00:00.007Z")
    assert msgspec.msgpack.decode(top) == [9_990, 0, 9_995, 3, 10_000]
    assert msgspec.json.decode(book)["bids"] == [["99.9", "0.0005"]]


def test_the_top_of_a_market_without_a_band_has_no_reference() -> None:
    engine = Engine()
    with redis_client() as client:
        redis_feed(Publisher(client), engine, SymbolFeed()).publish((), [1])
        assert msgspec.msgpack.decode(client.get(top_key(SYMBOL)) or b"") == [0, 0, 0, 0, 0]
        client.delete(top_key(SYMBOL))
