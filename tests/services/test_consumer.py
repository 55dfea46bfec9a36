"""WebSocket connections from handshake to close, over a real Redis and a real database."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connections
from prometheus_client import REGISTRY

from exchange.access.principals import principals_forget
from exchange.access.secrets import secret_encrypt
from exchange.infra.redis import FEED_CHANNEL, book_key, redis_client, state_key
from exchange.models import User
from exchange.realtime import frames as feed_frames
from exchange.realtime import protocol
from exchange.realtime.channels import websocket_urlpatterns
from exchange.realtime.logins import logins_stop
from exchange.realtime.protocol import CloseCode
from exchange.realtime.subscriber import hub_running, hub_stop
from exchange.selectors import catalogue_forget
from tests.factories.models import AccountFactory, ApiKeyFactory, SymbolFactory, UserFactory
from tests.waiting import HANG_S

pytestmark = pytest.mark.django_db(transaction=True)

SYMBOL = "BTC-USDT"
TOPIC = f"{SYMBOL}@depth"
TIME = "2026-01-01T00:00:00.000Z"


@pytest.fixture(autouse=True)
def market() -> Iterator[None]:
    principals_forget()
    SymbolFactory.create(code=SYMBOL)
    catalogue_forget()
    with redis_client() as redis:
        redis.set(book_key(SYMBOL), frame("snapshot", 4, bids=[["100", "1"]]))
        yield
        redis.delete(book_key(SYMBOL))


@pytest.fixture
def user() -> User:
    return AccountFactory.create(user__username="ada").user


def frame(kind: str, sequence: int, **sides: Any) -> bytes:
    body = {"channel": TOPIC, "type": kind, "sequence": sequence, "time": TIME}
    if kind == "delta":
        body["previous"] = sequence - 1
    return msgspec.json.encode({**body, "bids": [], "asks": [], **sides})


def send(*frames: tuple[str, bytes]) -> None:
    with redis_client() as redis:
        redis.publish(FEED_CHANNEL, feed_frames.encode_frames(frames))


def cookie(user: User) -> tuple[str, list[tuple[bytes, bytes]]]:
    """A signed-in session: its key and the header a browser would send."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    assert session.session_key is not None
    value = f"{settings.SESSION_COOKIE_NAME}={session.session_key}".encode()
    return session.session_key, [(b"cookie", value)]


class Socket:
    """A client: says things, waits for what it expects."""

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        headers = [(b"host", b"testserver"), *headers]
        self.wire = WebsocketCommunicator(URLRouter(websocket_urlpatterns), "/ws", headers)

    async def open(self) -> bool:
        connected, _ = await self.wire.connect(timeout=HANG_S)
        return bool(connected)

    async def say(self, **message: Any) -> None:
        await self.wire.send_to(text_data=msgspec.json.encode(message).decode())

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next frame of this type; heartbeats and answers to other things are passed over."""
        while True:
            text = await self.wire.receive_from(timeout=HANG_S)
            heard: dict[str, Any] = msgspec.json.decode(text)
            if heard["type"] == kind:
                return heard

    async def closed(self) -> int:
        while True:
            output = await self.wire.receive_output(timeout=HANG_S)
            if output["type"] == "websocket.close":
                return int(output["code"])


async def sockets_end() -> None:
    """End what sockets started on this event loop.

    The loop itself would cancel each task once, and wait for ever for a task that swallowed it.
    """
    await logins_stop()
    await hub_stop()
    await database_sync_to_async(connections.close_all)()


def play(
    scenario: Callable[[Socket], Awaitable[None]],
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    """Run a scenario on an open socket of a fresh event loop, with a hub of its own."""

    async def run() -> None:
        socket = Socket(headers or [])
        try:
            assert await socket.open()
            while not hub_running().is_connected:
                await asyncio.sleep(0.01)
            await scenario(socket)
            await socket.wire.disconnect(timeout=HANG_S)
        finally:
            await sockets_end()

    asyncio.run(run())


def test_subscriber_gets_the_stored_book_and_then_deltas_as_they_came() -> None:
    async def scenario(socket: Socket) -> None:
        await socket.say(op="subscribe", channels=[TOPIC], id=7)
        assert (await socket.hear("subscribed"))["id"] == 7
        snapshot = await socket.hear("snapshot")
        assert (snapshot["sequence"], snapshot["bids"]) == (4, [["100", "1"]])
        sent = frame("delta", 5, asks=[["101", "2"]])
        await asyncio.to_thread(send, (TOPIC, sent))
        assert await socket.wire.receive_from(timeout=HANG_S) == sent.decode()

    play(scenario)


def test_late_subscriber_gets_the_stored_state_of_the_market_and_then_every_change() -> None:
    topic = f"{SYMBOL}@state"

    def state(word: str) -> bytes:
        return msgspec.json.encode({"channel": topic, "type": "state", "state": word})

    async def scenario(socket: Socket) -> None:
        await socket.say(op="subscribe", channels=[topic], id=7)
        assert (await socket.hear("subscribed"))["id"] == 7
        assert (await socket.hear("state"))["state"] == "auction"
        await asyncio.to_thread(send, (topic, state("open")))
        assert (await socket.hear("state"))["state"] == "open"
        await socket.say(op="unsubscribe", channels=[topic])
        await socket.say(op="subscribe", channels=[topic])
        assert (await socket.hear("state"))["state"] == "open", "at once, without asking Redis"

    with redis_client() as redis:
        redis.set(state_key(SYMBOL), state("auction"))
        try:
            play(scenario)
        finally:
            redis.delete(state_key(SYMBOL))


def test_gap_in_the_feed_is_healed_with_a_new_snapshot() -> None:
    async def scenario(socket: Socket) -> None:
        await socket.say(op="subscribe", channels=[TOPIC])
        await socket.hear("snapshot")

        def lose_one() -> None:
            send((TOPIC, frame("delta", 6, asks=[["101", "2"]])))
            with redis_client() as redis:
                redis.set(book_key(SYMBOL), frame("snapshot", 6, asks=[["101", "2"]]))

        await asyncio.to_thread(lose_one)
        healed = await socket.hear("snapshot")
        assert (healed["sequence"], healed["asks"]) == (6, [["101", "2"]])

    play(scenario)


def test_unknown_channels_are_refused_and_nothing_is_subscribed() -> None:
    async def scenario(socket: Socket) -> None:
        await socket.say(op="subscribe", channels=[TOPIC, "DOGE-USDT@depth"], id=1)
        refused = await socket.hear("error")
        assert (refused["code"], refused["id"]) == ("feed.unknown_channel", 1)
        await socket.say(op="ping", id=2)
        assert (await socket.hear("pong"))["id"] == 2
        assert await socket.wire.receive_nothing(timeout=0.2)

    play(scenario)


def test_an_unlisted_symbol_keeps_its_channels() -> None:
    async def scenario(socket: Socket) -> None:
        await socket.say(op="subscribe", channels=["OLD-USDT@depth", "OLD-USDT@trade"], id=1)
        assert len((await socket.hear("subscribed"))["channels"]) == 2

    SymbolFactory.create(code="OLD-USDT", is_listed=False)
    catalogue_forget()
    play(scenario)


def test_private_channels_need_someone_to_be_signed_in() -> None:
    async def scenario(socket: Socket) -> None:
        await socket.say(op="subscribe", channels=["orders"])
        assert (await socket.hear("error"))["code"] == "auth.required"

    play(scenario)


def test_who_has_no_account_is_told_so() -> None:
    async def scenario(socket: Socket) -> None:
        await socket.say(op="subscribe", channels=["orders"])
        assert (await socket.hear("error"))["code"] == "account.missing"

    play(scenario, cookie(UserFactory.create(username="by-hand"))[1])


def test_session_hears_its_own_account_and_no_other(user: User) -> None:
    account_id = user.account.pk  # type: ignore[attr-defined]

    async def scenario(socket: Socket) -> None:
        await socket.say(op="subscribe", channels=["orders", "balances"])
        await socket.hear("subscribed")
        mine = feed_frames.order_frame(account_id, order={"id": "1"}, fills=[])
        other = feed_frames.order_frame(account_id + 1, order={"id": "2"}, fills=[])
        await asyncio.to_thread(send, other, mine)
        assert (await socket.hear("order"))["order"]["id"] == "1"

    play(scenario, cookie(user)[1])


def test_only_the_private_channel_asked_for_is_sent(user: User) -> None:
    account_id = user.account.pk  # type: ignore[attr-defined]
    balance = feed_frames.balance_frame(
        account_id, asset="USDT", available="1", reserved="0", sequence=1
    )

    async def scenario(socket: Socket) -> None:
        await socket.say(op="subscribe", channels=["orders"])
        await socket.hear("subscribed")
        order = feed_frames.order_frame(account_id, order={"id": "1"}, fills=[])
        await asyncio.to_thread(send, balance, order)
        heard = msgspec.json.decode(await socket.wire.receive_from(timeout=HANG_S))
        assert heard["type"] == "order"

    play(scenario, cookie(user)[1])


def login_message(user: User, secret: str, **changes: Any) -> dict[str, Any]:
    ApiKeyFactory.create(key_id="key-1234567", user=user, secret_encrypted=secret_encrypt("s3cret"))
    timestamp = str(time.time_ns() // 1_000_000)
    signed = f"{timestamp}\nGET\n/ws\n{hashlib.sha256(b'').hexdigest()}".encode()
    signature = hmac.digest(secret.encode(), signed, "sha256").hex()
    message = {"op": "login", "key": "key-1234567", "timestamp": timestamp}
    return {**message, "signature": signature, **changes}


def test_signed_login_opens_the_private_channels(user: User) -> None:
    message = login_message(user, "s3cret")

    async def scenario(socket: Socket) -> None:
        await socket.say(**message)
        await socket.hear("logged_in")
        await socket.say(op="subscribe", channels=["balances"])
        await socket.hear("subscribed")

    play(scenario)


def test_signed_login_cannot_be_used_twice(user: User) -> None:
    message = login_message(user, "s3cret")

    async def first(socket: Socket) -> None:
        await socket.say(**message)
        await socket.hear("logged_in")

    async def second(socket: Socket) -> None:
        await socket.say(**message)
        assert (await socket.hear("error"))["code"] == "auth.replayed"

    play(first)
    play(second)


def test_login_with_a_wrong_secret_is_refused(user: User) -> None:
    message = login_message(user, "guess")

    async def scenario(socket: Socket) -> None:
        await socket.say(**message)
        assert (await socket.hear("error"))["code"] == "auth.signature_invalid"
        await socket.say(op="subscribe", channels=["orders"])
        assert (await socket.hear("error"))["code"] == "auth.required"

    play(scenario)


def test_pages_of_other_hosts_are_refused_and_counted() -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("takas_ws_origin_refused_total") or 0.0

    async def scenario() -> None:
        assert not await Socket([(b"origin", b"https://evil.example")]).open()

    before = count()
    asyncio.run(scenario())
    assert count() == before + 1


def test_own_pages_may_connect() -> None:
    async def scenario(socket: Socket) -> None:
        await socket.say(op="ping")
        await socket.hear("pong")

    play(scenario, [(b"origin", b"http://testserver")])


def test_messages_too_large_end_the_connection() -> None:
    async def scenario(socket: Socket) -> None:
        await socket.say(op="subscribe", channels=["x" * protocol.MESSAGE_BYTES_MAX])
        assert await socket.closed() == CloseCode.MESSAGE_INVALID

    play(scenario)


def test_a_flood_of_messages_is_first_refused_and_then_ended() -> None:
    async def scenario(socket: Socket) -> None:
        for _ in range(protocol.MESSAGES_BURST + protocol.REFUSED_MESSAGES_MAX + 20):
            await socket.say(op="ping")
        assert (await socket.hear("error"))["code"] == "feed.too_many_messages"
        assert await socket.closed() == CloseCode.TOO_MANY_MESSAGES

    play(scenario)


def test_subscriptions_are_bounded() -> None:
    async def scenario(socket: Socket) -> None:
        channels = [f"S{n}-USDT@depth" for n in range(protocol.SUBSCRIPTIONS_MAX + 1)]
        await socket.say(op="subscribe", channels=channels)
        assert (await socket.hear("error"))["code"] == "feed.too_many_subscriptions"

    play(scenario)


def test_unsubscribed_channels_fall_silent() -> None:
    async def scenario(socket: Socket) -> None:
        await socket.say(op="subscribe", channels=[TOPIC])
        await socket.hear("snapshot")
        await socket.say(op="unsubscribe", channels=[TOPIC])
        await socket.hear("unsubscribed")
        await asyncio.to_thread(send, (TOPIC, frame("delta", 5)))
        assert await socket.wire.receive_nothing(timeout=0.3)

    play(scenario)
