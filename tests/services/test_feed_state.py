"""The state channel: its frames, what Redis keeps of them, and who gets which, when."""

from decimal import Decimal

import msgspec
import pytest

from exchange.domain.units import SymbolUnits
from exchange.realtime.feed import FeedHub
from exchange.realtime.outbox import Outbox
from exchange.realtime.publish import (
    PLAIN_MARKET,
    MarketState,
    Publisher,
    SymbolText,
    state_frame,
    time_text,
)
from exchange.redis import redis_client, state_key

SYMBOL = "BTC-USDT"
TOPIC = f"{SYMBOL}@state"
TEXT = SymbolText(
    SymbolUnits.build(
        symbol_id=1,
        code=SYMBOL,
        base_asset_id=1,
        quote_asset_id=2,
        base_scale=8,
        quote_scale=8,
        tick=Decimal("0.01"),
        lot=Decimal("0.0001"),
    )
)


def frame(state: str, second: int = 0) -> bytes:
    return state_frame(TEXT, MarketState(state), time=time_text(1_767_225_600_000 + second))[1]


def heard(outbox: Outbox) -> list[str]:
    frames = map(msgspec.json.decode, outbox._frames)
    return [frame["state"] for frame in frames if frame["type"] == "state"]


def hub_with(*outboxes: Outbox) -> FeedHub:
    hub = FeedHub()
    hub.connected()
    for outbox in outboxes:
        hub.join(outbox)
        hub.follow(outbox, TOPIC)
    return hub


def dispatch(hub: FeedHub, data: bytes) -> None:
    hub.dispatch(msgspec.msgpack.encode([(TOPIC, data)]))


def test_a_state_reads_as_documented() -> None:
    market = MarketState("auction", "auction", 1_767_225_601_000, 10_050, 25_000, 10_000)
    topic, body = state_frame(TEXT, market, time=time_text(1_767_225_600_007))
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
    body = msgspec.json.decode(state_frame(TEXT, PLAIN_MARKET, time=time_text(0))[1])
    empty = ("due_at", "indicative_price", "indicative_quantity", "reference_price")
    assert [body[name] for name in empty] == [None] * 4
    assert (body["state"], body["phase"]) == ("open", "none")


def test_a_late_subscriber_gets_the_newest_state_at_once() -> None:
    early, late = Outbox(), Outbox()
    hub = hub_with(early)
    dispatch(hub, frame("auction"))
    dispatch(hub, frame("open", 1))
    hub.join(late)
    hub.follow(late, TOPIC)
    assert heard(late) == ["open"]
    assert heard(early) == ["auction", "open"]


def test_the_first_subscriber_gets_what_is_stored() -> None:
    outbox = Outbox()
    hub = hub_with(outbox)
    assert hub.resync.is_set()
    assert hub.wanting_states() == [SYMBOL]
    hub.load_states([(SYMBOL, None)])
    assert hub.wanting_states() == [SYMBOL], "not stored yet: asked for again"
    hub.load_states([(SYMBOL, frame("halt"))])
    assert (heard(outbox), hub.wanting_states()) == (["halt"], [])


def test_a_stored_state_never_follows_a_newer_one() -> None:
    outbox = Outbox()
    hub = hub_with(outbox)
    dispatch(hub, frame("open", 1))
    hub.load_states([(SYMBOL, frame("halt"))])
    assert heard(outbox) == ["open"]


def test_after_a_lost_connection_the_stored_state_is_asked_for_again() -> None:
    outbox = Outbox()
    hub = hub_with(outbox)
    dispatch(hub, frame("open"))
    hub.disconnected()
    hub.connected()
    assert hub.wanting_states() == [SYMBOL]
    hub.load_states([(SYMBOL, frame("halt", 1))])
    dispatch(hub, frame("open", 2))
    assert heard(outbox)[-2:] == ["halt", "open"]


def test_who_left_while_waiting_gets_nothing() -> None:
    outbox = Outbox()
    hub = hub_with(outbox)
    hub.unfollow(outbox, TOPIC)
    assert hub.wanting_states() == []
    dispatch(hub, frame("open"))
    assert heard(outbox) == []


def test_a_state_that_cannot_be_read_is_passed_over() -> None:
    outbox = Outbox()
    hub = hub_with(outbox)
    hub.load_states([(SYMBOL, b"\xff")])
    dispatch(hub, b"\xff")
    assert heard(outbox) == []
    dispatch(hub, frame("open"))
    assert heard(outbox) == ["open"]


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
