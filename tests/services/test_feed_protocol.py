"""The feed's protocol: what clients may say, what a socket may hold, who may connect."""

import asyncio

import msgspec
import pytest

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.realtime import protocol
from exchange.realtime.channels import origin_is_ours
from exchange.realtime.feed import FeedHub
from exchange.realtime.protocol import CloseCode
from exchange.realtime.send_queue import CHARS_MAX, FRAMES_MAX, SendQueue


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"op":"explode"}',
        '{"op":"subscribe"}',
        '{"op":"subscribe","channels":"BTC-USDT@depth"}',
        '{"op":"subscribe","channels":[],"extra":1}',
        '{"op":"ping","id":1.5}',
    ],
)
def test_malformed_messages_are_refused_with_one_code(text: str) -> None:
    with pytest.raises(DomainError) as refused:
        protocol.message_parse(text)
    assert refused.value.code is Code.FEED_MESSAGE_INVALID


def test_answers_repeat_the_clients_id() -> None:
    message = protocol.message_parse('{"op":"ping","id":"a7"}')
    assert msgspec.json.decode(protocol.answer("pong", message_id=message.id))["id"] == "a7"


@pytest.mark.parametrize("channel", ["", "depth", "@depth", "BTC-USDT@", "BTC-USDT@candles"])
def test_what_is_no_channel_is_unknown(channel: str) -> None:
    with pytest.raises(DomainError) as refused:
        protocol.channel_symbol(channel)
    assert refused.value.code is Code.FEED_UNKNOWN_CHANNEL


def test_private_channels_have_no_symbol() -> None:
    assert protocol.channel_symbol("orders") is None
    assert protocol.channel_symbol("BTC-USDT@trade") == "BTC-USDT"


def test_bucket_allows_a_burst_and_then_the_rate() -> None:
    bucket = protocol.TokenBucket(per_second=2, burst=3, now_s=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]


def test_send_queue_past_its_frames_asks_to_be_closed() -> None:
    send_queue = SendQueue()
    for _ in range(FRAMES_MAX):
        send_queue.put("x")
    assert send_queue.close_code is None
    send_queue.put("x")
    assert send_queue.close_code is CloseCode.TOO_SLOW


def test_send_queue_past_its_size_asks_to_be_closed() -> None:
    send_queue = SendQueue()
    send_queue.put("x" * CHARS_MAX)
    send_queue.put("x")
    assert send_queue.close_code is CloseCode.TOO_SLOW


def test_send_queue_holds_frames_back_while_the_transport_is_full() -> None:
    async def scenario() -> None:
        send_queue = SendQueue()
        send_queue.put("first")
        send_queue.room(False)
        waiting = asyncio.ensure_future(send_queue.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        send_queue.room(True)
        assert await waiting == "first"

    asyncio.run(scenario())


def test_closing_a_send_queue_frees_a_writer_that_waits_for_room() -> None:
    async def scenario() -> None:
        send_queue = SendQueue()
        send_queue.put("first")
        send_queue.room(False)
        waiting = asyncio.ensure_future(send_queue.next())
        await asyncio.sleep(0)
        send_queue.close(CloseCode.SESSION_ENDED)
        assert await waiting is None

    asyncio.run(scenario())


def test_hub_sends_private_frames_only_where_they_were_asked_for() -> None:
    hub, mine, other = FeedHub(), SendQueue(), SendQueue()
    for send_queue, account_id in ((mine, 7), (other, 8)):
        send_queue.account_id = account_id
        send_queue.private = {"orders"}
        hub.join(send_queue)
        hub.follow(send_queue, f"account:{account_id}")
    frames = [
        ("account:7", b'{"channel":"orders","type":"order"}'),
        ("account:7", b'{"channel":"balances","type":"balance"}'),
    ]
    hub.dispatch(msgspec.msgpack.encode(frames))
    assert list(mine.frames) == ['{"channel":"orders","type":"order"}']
    assert list(other.frames) == []


def test_hub_survives_what_it_cannot_read() -> None:
    hub, send_queue = FeedHub(), SendQueue()
    hub.join(send_queue)
    hub.follow(send_queue, "BTC-USDT@trade")
    hub.dispatch(b"\xc1 not msgpack")
    hub.dispatch(msgspec.msgpack.encode([("BTC-USDT@depth", b"no json")]))
    hub.dispatch(msgspec.msgpack.encode([("BTC-USDT@trade", b"{}")]))
    assert list(send_queue.frames) == ["{}"]


@pytest.mark.parametrize(
    ("origin", "host", "ours"),
    [
        ("http://localhost:8000", "localhost:8001", True),
        ("https://trade.example", "trade.example", True),
        ("https://evil.example", "trade.example", False),
        ("https://trade.example.evil.example", "trade.example", False),
        ("null", "trade.example", False),
        ("file://trade.example", "trade.example", False),
        ("http://[", "trade.example", False),
    ],
)
def test_only_pages_of_the_same_host_may_connect(origin: str, host: str, ours: bool) -> None:
    assert origin_is_ours(origin, host) is ours
