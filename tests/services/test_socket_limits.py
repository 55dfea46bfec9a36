"""Limits of sockets: what a stranger can take of them, and what a hostile client can send."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator

from exchange.domain.codes import Code
from exchange.infra import told
from exchange.infra.buckets import LocalBuckets, Rate
from exchange.infra.metrics import LOG_LINES_UNTOLD
from exchange.infra.redis import redis_client
from exchange.models import User
from exchange.realtime import channels, consumers, protocol
from exchange.realtime import connection_limits as limits_module
from exchange.realtime.channels import websocket_urlpatterns
from exchange.realtime.connection_limits import FIRST_SUBSCRIPTION_S, SocketSlots
from exchange.realtime.protocol import CloseCode
from exchange.selectors import catalogue_forget
from tests.factories.metrics import metric_value
from tests.factories.models import AccountFactory, SymbolFactory
from tests.services.test_consumer import TOPIC, Socket, cookie, play, sockets_end
from tests.waiting import HANG_S

pytestmark = pytest.mark.django_db(transaction=True)

HERE, THERE = "203.0.113.1", "203.0.113.2"


@pytest.fixture(autouse=True)
def market(monkeypatch: pytest.MonkeyPatch) -> Iterator[SocketSlots]:
    """A symbol, and a process in which nobody is connected."""
    SymbolFactory.create(code="BTC-USDT")
    catalogue_forget()
    fresh = SocketSlots()
    monkeypatch.setattr(consumers, "slots", fresh)
    monkeypatch.setattr(channels, "slots", fresh)
    yield fresh
    redis_client().flushdb()


@pytest.fixture
def user() -> User:
    return AccountFactory.create(user__username="ada").user


# --- places -----------------------------------------------------------------------------------


def test_a_network_has_a_bounded_number_of_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "SOCKETS_PER_NETWORK_MAX", 2)
    slots = SocketSlots()
    held = [slots.enter(HERE, None) for _ in range(2)]
    assert slots.refusal(HERE, None) is CloseCode.TOO_MANY_SOCKETS
    assert slots.refusal(THERE, None) is None
    assert slots.refusal(HERE, 7) is None, "who is signed in takes none of the network's places"
    slots.leave(held[0])
    slots.leave(held[0])
    assert slots.refusal(HERE, None) is None


def test_a_user_has_a_bounded_number_of_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "SOCKETS_PER_USER_MAX", 2)
    monkeypatch.setattr(limits_module, "SOCKETS_PER_NETWORK_MAX", 1)
    slots = SocketSlots()
    slots.enter(HERE, 7)
    stranger = slots.enter(THERE, None)
    assert slots.sign_in(stranger, 7)
    assert slots.refusal(HERE, 7) is CloseCode.TOO_MANY_SOCKETS
    assert slots.refusal(THERE, None) is None, "the stranger's place is free again"
    assert not slots.sign_in(slots.enter(THERE, None), 7)


def test_strangers_leave_places_for_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "SOCKETS_MAX", 4)
    monkeypatch.setattr(limits_module, "STRANGERS_MAX", 3)
    slots = SocketSlots()
    for number in range(3):
        slots.enter(f"203.0.113.{number}", None)
    assert slots.refusal(THERE, None) is CloseCode.FULL
    assert slots.refusal(THERE, 7) is None
    slots.enter(HERE, 7)
    assert slots.refusal(THERE, 8) is CloseCode.FULL


def test_nothing_is_remembered_of_who_left() -> None:
    slots = SocketSlots()
    for number in range(100):
        slots.leave(slots.enter(f"203.0.113.{number}", number % 2 or None))
    assert len(slots) == len(slots.strangers) == len(slots.users) == 0


# --- connections ------------------------------------------------------------------------------


async def other(headers: list[tuple[bytes, bytes]] | None = None) -> Socket:
    """Another open connection beside the scenario's own."""
    socket = Socket(headers or [])
    assert await socket.open()
    return socket


def test_the_caps_hold_for_connections(
    monkeypatch: pytest.MonkeyPatch, market: SocketSlots, user: User
) -> None:
    monkeypatch.setattr(limits_module, "SOCKETS_PER_NETWORK_MAX", 2)
    monkeypatch.setattr(limits_module, "SOCKETS_PER_USER_MAX", 1)
    headers = cookie(user)[1]

    async def scenario(socket: Socket) -> None:
        second = await other()
        third = await other()
        assert await third.closed() == CloseCode.TOO_MANY_SOCKETS
        signed_in = await other(headers)
        await signed_in.say(op="subscribe", channels=["orders"])
        await signed_in.hear("subscribed")
        assert await (await other(headers)).closed() == CloseCode.TOO_MANY_SOCKETS
        assert len(market) == 3
        for one in (second, signed_in):
            await one.wire.disconnect(timeout=HANG_S)
        assert len(market) == 1

    play(scenario)
    assert len(market) == 0


def test_a_stranger_who_asks_for_nothing_is_let_go(
    monkeypatch: pytest.MonkeyPatch, user: User
) -> None:
    headers = cookie(user)[1]

    async def scenario(_: Socket) -> None:
        waits_end = waits_for_first_subscriptions(monkeypatch)
        idle, listening, signed_in = await other(), await other(), await other(headers)
        await listening.say(op="subscribe", channels=[TOPIC])
        await listening.hear("subscribed")
        await idle.say(op="ping")
        await idle.hear("pong")
        assert waits_end() == 3
        assert await idle.closed() == CloseCode.IDLE
        for one in (listening, signed_in):
            await one.say(op="ping")
            await one.hear("pong")
            await one.wire.disconnect(timeout=HANG_S)

    play(scenario)


def waits_for_first_subscriptions(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return a function that ends the waits of sockets opened from here on, and counts them."""
    loop = asyncio.get_running_loop()
    call_later, ends = loop.call_later, list[Callable[[], object]]()

    def later(delay_s: float, act: Callable[..., object], *given: Any) -> asyncio.TimerHandle:
        if delay_s == FIRST_SUBSCRIPTION_S:
            ends.append(partial(act, *given))
        return call_later(delay_s, act, *given)

    def waits_end() -> int:
        for end in ends:
            end()
        return len(ends)

    monkeypatch.setattr(loop, "call_later", later)
    return waits_end


def test_ends_of_sockets_fill_no_log(
    monkeypatch: pytest.MonkeyPatch,
    user: User,
    logged: Callable[[str], list[dict[str, Any]]],
) -> None:
    monkeypatch.setattr(told, "LINES", Rate(per_second=1, burst=1))
    ends, before, headers = 20, untold(), cookie(user)[1]

    async def scenario(socket: Socket) -> None:
        for _ in range(ends):
            await hostile_end(await other())
        await hostile_end(await other(headers))

    play(scenario)
    closed = logged("ws_closed")
    strangers = [line for line in closed if line["user_id"] is None]
    assert (closed[0]["level"], closed[0]["code"]) == ("info", "MESSAGE_INVALID")
    assert closed[0]["user_id"] is None
    assert untold() > before
    assert len(strangers) + untold() - before == ends, "what is left out is counted"
    assert [line["user_id"] for line in closed[len(strangers) :]] == [user.pk]


async def hostile_end(socket: Socket) -> None:
    """Make the server end the socket, with a frame that it takes from nobody."""
    await socket.wire.send_to(bytes_data=b"x")
    assert await socket.closed() == CloseCode.MESSAGE_INVALID


def untold() -> float:
    return metric_value(LOG_LINES_UNTOLD.labels("ws_closed"))


def test_handshakes_of_a_network_are_bounded(
    monkeypatch: pytest.MonkeyPatch, market: SocketSlots
) -> None:
    monkeypatch.setattr(limits_module, "HANDSHAKES", Rate(per_second=1, burst=2))
    market.handshakes = LocalBuckets(lambda: 0)  # no time passes

    async def scenario(socket: Socket) -> None:
        await other()
        refused = Socket([])
        assert not await refused.open()

    play(scenario)


@pytest.mark.parametrize("path", ["/", "/wss", "/ws/", "/ws%00", "/admin/"])
def test_another_address_is_refused_without_a_fault(path: str) -> None:
    async def run() -> None:
        wire = WebsocketCommunicator(URLRouter(websocket_urlpatterns), path)
        assert (await wire.connect(timeout=HANG_S))[0] is False

    asyncio.run(run())


# --- what is said -----------------------------------------------------------------------------

NUL = "BTC-USDT\x00"
TEXTS = [NUL, "\x00", "", "\x1b[2J", "a" * 3_000, "\u202e", "\U0001f600", "BTC-USDT@depth@depth"]
VALUES: list[Any] = [
    *TEXTS, None, True, 0, -1, 1.5, 2**63, 10**300, [], {}, [[]], [{}], [NUL], {"a": NUL},
    ["BTC-USDT\x00@depth"], ["BTC\x00@depth"], ["@depth"], ["BTC-USDT@"], ["' OR 1=1 --@depth"],
    ["btc-usdt@depth"], ["ZZZ-ZZZ@depth"], ["orders\x00"], ["orders"], [TOPIC, None], [TOPIC] * 60,
    [f"AAA-B{n:02d}@depth" for n in range(60)],
]  # fmt: skip
FIELDS: dict[str, dict[str, Any]] = {
    "subscribe": {"channels": [TOPIC]},
    "unsubscribe": {"channels": [TOPIC]},
    "login": {"key": "tk_aaaaaaaaaaaa", "timestamp": 1, "signature": "0" * 64},
    "ping": {},
}
RAW = [
    " ", "null", "1", "[]", "{}", '{"op":1}', '{"op":null}', '{"op":["ping"]}', "{" * 2_000,
    "[" * 4_000, '{"op":"ping","id":"\\ud800"}', '{"op":"ping"', '{"op":"ping"}x', "\x00",
    '{"op":"ping","op":"ping"}',
    '{"op":"ping","\\u006fp":"ping"}', '{"op":"ping","id":1,"id":2}',
    '{"op":"subscribe","channels":["BTC-USDT@depth"],"channels":["orders"]}', '{"op":"ping","x":1}',
    '{"op":"ping\\u0000"}', '{"op":"PING"}', '{"op":"ping","id":1e400}', '{"op":"ping","id":NaN}',
    '{"op":"login"}', '{"op":"subscribe"}', '{"op":"ping","id":' + "9" * 4_000 + "}",
]  # fmt: skip


def hostile_frames() -> list[str]:
    """Every field of every op with every value, ids and unknown fields, and what is no message."""
    frames = list(RAW)
    for op, fields in FIELDS.items():
        for name in (*fields, "id", "unknown"):
            frames += [
                msgspec.json.encode({"op": op, **fields, name: value}).decode() for value in VALUES
            ]
    frames += [msgspec.json.encode({"op": value}).decode() for value in VALUES]
    return [frame for frame in frames if len(frame.encode()) <= protocol.MESSAGE_BYTES_MAX]


ANSWERS = {"error", "pong", "subscribed", "unsubscribed", "logged_in"}


def test_every_hostile_frame_is_answered_and_none_is_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = hostile_frames()
    assert len(frames) > 300
    monkeypatch.setattr(protocol, "MESSAGES_BURST", 2 * len(frames))
    codes: list[str] = []

    async def scenario(socket: Socket) -> None:
        await socket.say(op="subscribe", channels=[f"{TOPIC[:-6]}@trade"])
        await socket.hear("subscribed")
        for number, text in enumerate(frames):
            await socket.wire.send_to(text_data=text)
            answer = await answered(socket)
            if answer["type"] == "error":
                codes.append(answer["code"])
                assert Code(answer["code"]), text
                assert answer["detail"], text
            assert answer["type"] in ANSWERS, (number, text, answer)
        await socket.say(op="ping", id="end")
        assert (await socket.hear("pong"))["id"] == "end"

    play(scenario)
    assert len(codes) > 250
    assert {"feed.message_invalid", "feed.unknown_channel", "request.duplicate_field"} <= set(codes)
    assert {"auth.key_unknown", "auth.required", "feed.too_many_subscriptions"} <= set(codes)
    assert "internal.error" not in codes


async def answered(socket: Socket) -> dict[str, Any]:
    """The next frame that is an answer: books and heartbeats come between."""
    while True:
        heard: dict[str, Any] = msgspec.json.decode(await socket.wire.receive_from(timeout=HANG_S))
        if heard["type"] in ANSWERS:
            return heard


@pytest.mark.parametrize("data", [b"\x00", b'{"op":"ping"}', b"\xff\xfe"])
def test_bytes_end_the_connection_with_a_code(data: bytes) -> None:
    async def scenario(socket: Socket) -> None:
        await socket.wire.send_to(bytes_data=data)
        assert await socket.closed() == CloseCode.MESSAGE_INVALID

    play(scenario)


def test_unknown_symbols_cost_no_statement_each(django_assert_max_num_queries: Any) -> None:
    """50 channels a message and ten messages a second were 500 statements a second a socket."""
    names = ("".join(letters) for letters in itertools.product("ABCDE", repeat=3))
    wanted = [f"{name}-USDT@depth" for name in itertools.islice(names, 50)]

    async def scenario(socket: Socket) -> None:
        for _ in range(5):
            await socket.say(op="subscribe", channels=wanted)
            assert (await socket.hear("error"))["code"] == "feed.unknown_channel"

    with django_assert_max_num_queries(10):
        play(scenario)


@pytest.mark.parametrize(
    "value", [b"a" * 40_000, b'"aaaaaaaaaaaa\\000"', b"\xff\xfe", b"' OR 1=1", b"aaaaaaaaaaaaaaaa"]
)
def test_a_hostile_session_cookie_is_nobody(value: bytes) -> None:
    async def run() -> None:
        headers = [(b"host", b"testserver"), (b"cookie", b"sessionid=" + value)]
        wire = WebsocketCommunicator(URLRouter(websocket_urlpatterns), "/ws", headers)
        try:
            assert (await wire.connect(timeout=HANG_S))[0]
            await wire.send_to(text_data='{"op":"subscribe","channels":["orders"]}')
            while True:
                heard = msgspec.json.decode(await wire.receive_from(timeout=HANG_S))
                if heard["type"] == "error":
                    assert heard["code"] == "auth.required"
                    break
            await wire.disconnect(timeout=HANG_S)
        finally:
            await sockets_end()

    asyncio.run(run())
