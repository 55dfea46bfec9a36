"""One WebSocket connection: takes the client's messages, sends the frames of its send queue."""

import asyncio
import logging
import time

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.sessions.backends.base import SessionBase
from prometheus_client import Counter

from exchange.access.principals import Principal
from exchange.api import keys
from exchange.domain.codes import Code
from exchange.domain.enums import Scope
from exchange.domain.errors import DomainError
from exchange.infra.http.address import network_of, socket_address
from exchange.infra.told import bounded_told
from exchange.models import User
from exchange.realtime import protocol
from exchange.realtime.connection_limits import (
    FIRST_SUBSCRIPTION_S,
    SOCKETS_PER_USER_MAX,
    SocketSlot,
    slots,
)
from exchange.realtime.feed import FeedHub
from exchange.realtime.login_state import mark_of
from exchange.realtime.logins import Logins, logins_running
from exchange.realtime.protocol import CloseCode
from exchange.realtime.send_queue import BackPressure, InboundLimits, SendQueue, SocketLogin
from exchange.realtime.subscriber import hub_running
from exchange.selectors import catalogue_with

SERVER_SEND = "takas.server_send"  # key in the scope
MESSAGES = Counter("takas_ws_messages", "Messages from clients", ["op"])


class FeedConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """Speaks `exchange.realtime.protocol`; the hub fills the send queue, one task empties it."""

    # A channel layer would add a Redis subscription per socket. Frames come through the feed, and
    # the ends of logins through one queue, each read once a process.
    channel_layer_alias = "none"

    hub: FeedHub
    logins: Logins
    send_queue: SendQueue

    async def connect(self) -> None:
        """Accept the socket, take a slot for it, and start to send its frames."""
        self.hub = hub_running()
        self.logins = logins_running()
        self.send_queue = SendQueue()
        self._network = network_of(socket_address(self.scope))
        self._inbound = InboundLimits(self.scope.get(SERVER_SEND))
        self._inbound.bound(protocol.MESSAGE_BYTES_MAX)
        await self._principal_from_session()
        now_s = time.monotonic()
        self._bucket = protocol.TokenBucket(
            per_second=protocol.MESSAGES_PER_SECOND, burst=protocol.MESSAGES_BURST, now_s=now_s
        )
        self._refused = 0
        await self.accept()
        BackPressure(self.send_queue).attach(self.scope.get(SERVER_SEND))
        self._take_slot()
        self.hub.join(self.send_queue)
        if self.send_queue.login is not None:
            self.logins.watch(self.send_queue)
        self._writer = asyncio.create_task(self._write())

    async def disconnect(self, code: int) -> None:
        """Free the slot and leave the hub and the logins."""
        if hasattr(self, "_writer"):
            self._leave_slot()
            self.hub.leave(self.send_queue)
            self.logins.drop(self.send_queue)
            self._writer.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Handle one message: text within the size and rate limits; others are refused."""
        if text_data is None or len(text_data.encode()) > protocol.MESSAGE_BYTES_MAX:
            self.send_queue.close(CloseCode.MESSAGE_INVALID)
            return
        if not self._bucket.take(time.monotonic()):
            self._over_rate()
            return
        with self._inbound.paused():
            await self._take(text_data)

    async def _take(self, text: str) -> None:
        message_id: int | str | None = None
        try:
            message = protocol.message_parse(text)
            message_id = message.id
            MESSAGES.labels(type(message).__name__.lower()).inc()
            await self._handle(message)
        except DomainError as error:
            self.send_queue.put(protocol.answer_error(error, message_id))

    # --- slot -------------------------------------------------------------------------------

    def _take_slot(self) -> None:
        """Take a slot for this socket, or close the socket when there is none."""
        self._slot: SocketSlot | None = None
        refusal = slots.refusal(self._network, self.send_queue.user_id)
        if refusal is not None:
            self.send_queue.close(refusal)
            return
        self._slot = slots.enter(self._network, self.send_queue.user_id)
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(FIRST_SUBSCRIPTION_S, self._close_if_idle)

    def _leave_slot(self) -> None:
        if self._slot is not None:
            self._idle.cancel()
            slots.leave(self._slot)

    def _close_if_idle(self) -> None:
        if self.send_queue.user_id is None and not self.send_queue.topics:
            self.send_queue.close(CloseCode.IDLE)

    # --- messages of the client -------------------------------------------------------------

    async def _handle(self, message: protocol.Message) -> None:
        match message:
            case protocol.Subscribe():
                await self._subscribe(message)
            case protocol.Unsubscribe():
                self._unsubscribe(message)
            case protocol.Login():
                await self._login(message)
            case protocol.Ping():
                time_ms = time.time_ns() // 1_000_000
                self.send_queue.put(protocol.answer("pong", message_id=message.id, time_ms=time_ms))

    async def _subscribe(self, message: protocol.Subscribe) -> None:
        """Subscribe to all of the channels, or refuse all of them."""
        wanted = set(message.channels)
        held = {topic for topic in self.send_queue.topics if "@" in topic} | self.send_queue.private
        if len(wanted | held) > protocol.SUBSCRIPTIONS_MAX:
            raise DomainError(Code.FEED_TOO_MANY_SUBSCRIPTIONS, limit=protocol.SUBSCRIPTIONS_MAX)
        unknown = await self._unknown({channel for channel in wanted if self._is_public(channel)})
        if unknown:
            raise protocol.channel_unknown(min(unknown))
        # Answer first: a snapshot must not come before the answer to its subscription.
        self.send_queue.put(protocol.answer_channels("subscribed", wanted, message.id))
        for channel in sorted(wanted - held):
            self._follow(channel)

    def _is_public(self, channel: str) -> bool:
        """Return whether a channel is public; raises where this client may not follow it."""
        if protocol.channel_symbol(channel) is not None:
            return True
        if self.send_queue.user_id is None:
            raise DomainError(Code.AUTH_REQUIRED)
        if self.send_queue.account_id is None:
            raise DomainError(Code.ACCOUNT_MISSING)
        return False

    async def _unknown(self, channels: set[str]) -> set[str]:
        """Return the channels of unknown symbols; the catalogue is cached, so queries are rare."""
        if not channels:
            return channels
        codes = {channel: channel.partition("@")[0] for channel in channels}
        known = await database_sync_to_async(catalogue_with)(*codes.values())
        return {channel for channel in channels if codes[channel] not in known.symbols_by_code}

    def _follow(self, channel: str) -> None:
        if channel in protocol.PRIVATE_CHANNELS:
            self.send_queue.private.add(channel)
            self.hub.follow(self.send_queue, f"account:{self.send_queue.account_id}")
        else:
            self.hub.follow(self.send_queue, channel)

    def _unsubscribe(self, message: protocol.Unsubscribe) -> None:
        for channel in message.channels:
            self.send_queue.private.discard(channel)
            if channel in self.send_queue.topics and "@" in channel:
                self.hub.unfollow(self.send_queue, channel)
        if not self.send_queue.private:
            self.hub.unfollow(self.send_queue, f"account:{self.send_queue.account_id}")
        self.send_queue.put(protocol.answer_channels("unsubscribed", message.channels, message.id))

    async def _login(self, message: protocol.Login) -> None:
        """Log in with an API key: once a connection, and never over a session's user."""
        if self.send_queue.user_id is not None:
            raise DomainError(Code.FEED_MESSAGE_INVALID)
        principal = await database_sync_to_async(_login_verify)(message, self._network)
        if self._slot is not None and not slots.sign_in(self._slot, principal.user_id):
            raise DomainError(Code.FEED_TOO_MANY_SOCKETS, limit=SOCKETS_PER_USER_MAX)
        self.send_queue.user_id = principal.user_id
        self.send_queue.account_id = principal.account_id or None
        self.send_queue.login = SocketLogin(principal.user_id, key_number=principal.key_number)
        self.logins.watch(self.send_queue)
        self.send_queue.put(protocol.answer("logged_in", message_id=message.id))

    def _over_rate(self) -> None:
        self._refused += 1
        if self._refused > protocol.REFUSED_MESSAGES_MAX:
            self.send_queue.close(CloseCode.TOO_MANY_MESSAGES)
            return
        error = DomainError(Code.FEED_TOO_MANY_MESSAGES, limit=protocol.MESSAGES_PER_SECOND)
        self.send_queue.put(protocol.answer_error(error))

    # --- frames to the client ---------------------------------------------------------------

    async def _write(self) -> None:
        """Send the frames of the send queue, no faster than the client reads."""
        while True:
            frame = await self.send_queue.next()
            if frame is None:
                break
            self._inbound.bound(0)
            await self.send(text_data=frame)
            self._inbound.bound(protocol.MESSAGE_BYTES_MAX)
        assert self.send_queue.close_code is not None
        self._closed_told(self.send_queue.close_code)
        await self.close(code=int(self.send_queue.close_code))  # autobahn takes a plain int only

    def _closed_told(self, code: CloseCode) -> None:
        """Log the end of the socket, within a rate for each user and one for all strangers."""
        user_id = self.send_queue.user_id
        owner = "" if user_id is None else str(user_id)
        bounded_told("ws_closed", level=logging.INFO, owner=owner, code=code.name, user_id=user_id)

    async def _principal_from_session(self) -> None:
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            return
        session = self.scope.get("session")
        await database_sync_to_async(_principal_fill)(self.send_queue, user, session)


def _principal_fill(send_queue: SendQueue, user: User, session: SessionBase | None) -> None:
    send_queue.user_id = user.pk
    account = getattr(user, "account", None)  # staff may have none
    send_queue.account_id = account.pk if account is not None else None
    assert session is not None, "a user came with a session"
    assert session.session_key is not None
    send_queue.login = SocketLogin(user.pk, session_key=session.session_key, mark=mark_of(user))


def _login_verify(message: protocol.Login, network: str) -> Principal:
    """Return the key's Principal; raises the refusals of a signed request."""
    principal = keys.verify(
        key_id=message.key,
        timestamp=str(message.timestamp),
        signature=message.signature,
        method="GET",
        path=protocol.LOGIN_PATH,
        body=b"",
        network=network,
    )
    if Scope.READ not in principal.scopes:
        raise DomainError(Code.AUTH_SCOPE_MISSING, scope=Scope.READ.value)
    return principal
