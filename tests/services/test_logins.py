"""Ends of logins: each ends its sockets in every process, also where the message was lost.

Two event loops in two threads stand for two `ws` processes: each has its own hub, its own channel
layer and its own connection to Redis.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from exchange.access import ends, notices
from exchange.access.principals import principals_forget
from exchange.api.keys import api_key_create
from exchange.infra.event_loop import tasks_end
from exchange.infra.redis import redis_client
from exchange.models import ApiKey, User
from exchange.realtime import logins
from exchange.realtime.login_state import LoginStates
from exchange.realtime.protocol import CloseCode
from orders.intake.process import intake_stop
from orders.markets.suspensions import user_deactivate, user_suspend
from tests.services.test_consumer import Socket, cookie, login_message, sockets_end
from tests.waiting import HANG_S, wait_until
from wallets.services import user_create

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "one-two-three-four-9"
LIFE_S = 4  # of a login that runs out: it must be there before


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    principals_forget()
    yield
    intake_stop()


@pytest.fixture
def ada() -> User:
    return user_create("ada", password=PASSWORD)


class Process:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(HANG_S)

    def open(self, headers: list[tuple[bytes, bytes]]) -> Socket:
        """An open socket whose login is watched: its groups are joined and it was looked up."""
        socket = Socket(headers)

        async def opened() -> None:
            assert await socket.open()
            await socket.say(op="ping")
            await socket.hear("pong")
            await watched()

        self.run(opened())
        return socket

    def end(self) -> None:
        async def stopped() -> None:
            own = asyncio.current_task()
            await tasks_end(*(task for task in asyncio.all_tasks() if task is not own))
            await sockets_end()

        self.run(stopped())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(HANG_S)
        self._loop.close()


async def watched() -> None:
    watch = logins.logins_running()
    while watch.is_behind:
        await asyncio.sleep(0.01)


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    both = [Process(), Process()]
    yield both
    for process in both:
        process.end()


def key_login(socket: Socket, message: dict[str, Any]) -> Any:
    async def signed_in() -> None:
        await socket.say(**message)
        await socket.hear("logged_in")
        await watched()

    return signed_in()


def sent_close(process: Process, socket: Socket) -> int:
    return int(process.run(socket.closed()))


def stays(process: Process, socket: Socket) -> None:
    async def answers() -> None:
        await socket.say(op="ping", id="still here")
        await socket.hear("pong")

    process.run(answers())


@contextmanager
def messages_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No look-up helps out: what ends a socket is the word that was sent."""
    with monkeypatch.context() as patch:
        patch.setattr(LoginStates, "is_valid", lambda _self, _login: True)
        patch.setattr(LoginStates, "expires_at_s", lambda _self, _login: None)
        yield


def staff_client(*codenames: str) -> Client:
    user = user_create("clerk", password=PASSWORD, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def page_sign_out(client: Client, user: User) -> None:
    assert client.post("/logout").status_code == 302


def office_sign_out(client: Client, user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=True)
    assert client.post("/admin/logout/").status_code == 302


@pytest.mark.parametrize("leave", [page_sign_out, office_sign_out])
def test_a_sign_out_ends_the_sockets_of_that_session_in_every_process(
    processes: list[Process],
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    leave: Callable[[Client, User], None],
) -> None:
    key, headers = cookie(ada)
    other = processes[0].open(cookie(ada)[1])
    sockets = [process.open(headers) for process in processes]
    client = Client()
    client.cookies["sessionid"] = key
    with messages_only(monkeypatch):
        leave(client, ada)
        assert {
            sent_close(process, socket) for process, socket in zip(processes, sockets, strict=True)
        } == {CloseCode.SESSION_ENDED}
    stays(processes[0], other)


def new_password(user: User) -> None:
    client = Client()
    client.force_login(user_create("root", password=PASSWORD, is_superuser=True))
    body = {"password1": "another-one-77", "password2": "another-one-77", "usable_password": "true"}
    page = reverse("admin:auth_user_password_change", args=[user.pk])
    assert client.post(page, body).status_code == 302


def own_new_password(user: User) -> None:
    client = Client()
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(user)
    body = {
        "old_password": PASSWORD,
        "new_password1": "my-own-7788",
        "new_password2": "my-own-7788",
    }
    assert client.post("/admin/password_change/", body).status_code == 302


def staff_end(user: User) -> None:
    client = staff_client("view_user", "change_user", "end_access")
    page = reverse("admin:user_access", args=[user.pk])
    assert client.post(page, {"reason": "lost phone", "sessions": "on"}).status_code == 302


def service_end(user: User) -> None:
    ends.sessions_end(user.pk, reason="asked for")


@pytest.mark.parametrize("end", [new_password, own_new_password, staff_end, service_end])
def test_what_ends_every_session_of_a_user_ends_their_sockets_and_not_those_of_keys(
    processes: list[Process],
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[User], None],
) -> None:
    sockets = [process.open(cookie(ada)[1]) for process in processes]
    by_key = processes[0].open([])
    processes[0].run(key_login(by_key, login_message(ada, "s3cret")))
    with messages_only(monkeypatch):
        end(ada)
        for process, socket in zip(processes, sockets, strict=True):
            assert sent_close(process, socket) == CloseCode.SESSION_ENDED
    stays(processes[0], by_key)


def suspended(user: User) -> None:
    user_suspend(user_id=user.pk, actor_id=None, reason="odd")


def deactivated(user: User) -> None:
    user_deactivate(user_id=user.pk, actor_id=None, reason="odd")


@pytest.mark.parametrize("bar", [suspended, deactivated])
def test_who_is_barred_loses_every_socket(
    processes: list[Process],
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    bar: Callable[[User], None],
) -> None:
    by_session = processes[0].open(cookie(ada)[1])
    by_key = processes[1].open([])
    processes[1].run(key_login(by_key, login_message(ada, "s3cret")))
    with messages_only(monkeypatch):
        bar(ada)
        assert sent_close(processes[0], by_session) == CloseCode.SESSION_ENDED
        assert sent_close(processes[1], by_key) == CloseCode.SESSION_ENDED


def test_a_revoked_key_ends_its_own_sockets(
    processes: list[Process], ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_key = processes[1].open([])
    processes[1].run(key_login(by_key, login_message(ada, "s3cret")))
    by_session = processes[0].open(cookie(ada)[1])
    spare, _ = api_key_create(user_id=ada.pk, label="spare", can_trade=False)
    with messages_only(monkeypatch):
        ends.key_revoke(user_id=ada.pk, key_id=spare.key_id)
        stays(processes[1], by_key)
        ends.key_revoke(user_id=ada.pk, key_id="key-1234567")
        assert sent_close(processes[1], by_key) == CloseCode.SESSION_ENDED
    stays(processes[0], by_session)


def lost_key(user: User, key: str) -> None:
    ApiKey.objects.filter(user=user).delete()


def lost_session(user: User, key: str) -> None:
    Session.objects.filter(session_key=key).delete()


def lost_expiry(user: User, key: str) -> None:
    Session.objects.filter(session_key=key).update(expire_date=datetime.now(UTC))


def lost_user(user: User, key: str) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def lost_password(user: User, key: str) -> None:
    user.set_password("changed-in-a-shell-1")
    user.save()


@pytest.mark.parametrize(
    ("lose", "is_key"),
    [
        (lost_key, True),
        (lost_user, True),
        (lost_user, False),
        (lost_session, False),
        (lost_expiry, False),
        (lost_password, False),
    ],
)
def test_an_end_that_nobody_told_of_is_found_at_the_next_look(
    processes: list[Process],
    ada: User,
    lose: Callable[[User, str], None],
    is_key: bool,
) -> None:
    watch_often(processes[0])
    key, headers = cookie(ada)
    socket = processes[0].open([] if is_key else headers)
    if is_key:
        processes[0].run(key_login(socket, login_message(ada, "s3cret")))
    stays(processes[0], socket)
    lose(ada, key)
    assert sent_close(processes[0], socket) == CloseCode.SESSION_ENDED


def watch_often(process: Process) -> None:
    """Look logins up all the time instead of every RECHECK_S."""

    async def often() -> None:
        logins.logins_running().recheck_s = 0.05

    process.run(often())


def test_a_session_that_runs_out_ends_its_sockets_by_itself(
    processes: list[Process], ada: User
) -> None:
    """Between two looks: the socket knows from its row until when the session holds."""
    key, headers = cookie(ada)
    ends_at = datetime.now(UTC) + timedelta(seconds=LIFE_S)
    Session.objects.filter(session_key=key).update(expire_date=ends_at)
    socket = processes[0].open(headers)
    assert sent_close(processes[0], socket) == CloseCode.SESSION_ENDED
    assert datetime.now(UTC) >= ends_at


def test_a_key_that_expires_ends_its_sockets_by_itself(processes: list[Process], ada: User) -> None:
    message = login_message(ada, "s3cret")
    ends_at = datetime.now(UTC) + timedelta(seconds=LIFE_S)
    ApiKey.objects.filter(user=ada).update(expires_at=ends_at)
    socket = processes[0].open([])
    processes[0].run(key_login(socket, message))
    assert sent_close(processes[0], socket) == CloseCode.SESSION_ENDED
    assert datetime.now(UTC) >= ends_at


def test_a_login_that_ended_while_its_socket_opened_is_found_at_once(
    processes: list[Process], ada: User
) -> None:
    """The look-up comes after the groups were joined: nothing falls between."""
    _, headers = cookie(ada)

    async def opened() -> int:
        watch = logins.logins_running()
        await watch.stop()  # Redis is slow: nothing is joined, nothing looked up
        socket = Socket(headers)
        assert await socket.open()
        await database_sync_to_async(ends.sessions_end)(ada.pk, reason="gone")
        watch.start()
        return await socket.closed()

    assert processes[0].run(opened()) == CloseCode.SESSION_ENDED


def test_places_in_groups_are_left_with_the_last_socket(
    processes: list[Process], ada: User
) -> None:
    sockets = [processes[0].open(cookie(ada)[1]) for _ in range(3)]

    async def left() -> tuple[int, int]:
        watch = logins.logins_running()
        held = len(watch.by_group)
        for socket in sockets:
            await socket.wire.disconnect(timeout=HANG_S)
        await watched()
        return held, len(watch.by_group) + len(watch.send_queues)

    assert processes[0].run(left()) == (2 + 3, 0), "a user, their sessions, and each session"


def test_an_end_that_cannot_be_told_is_no_error(ada: User, settings: Any) -> None:
    """Without Redis the database still says it, and sockets find it there."""
    from channels.layers import channel_layers

    layer = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [{"address": "redis://127.0.0.1:1/0"}]},
    }
    settings.CHANNEL_LAYERS = {"default": layer}
    channel_layers.backends.clear()
    try:
        assert notices.login_ended(notices.user_group(ada.pk)) is False
    finally:
        channel_layers.backends.clear()


def test_a_session_key_does_not_travel() -> None:
    assert "secret" not in notices.session_group("secret" * 5)


def test_a_connection_to_redis_that_broke_is_made_anew(
    processes: list[Process], ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = processes[0].open(cookie(ada)[1])
    with messages_only(monkeypatch), redis_client() as redis:
        redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        group = notices.sessions_group(ada.pk).encode()

        def heard_again() -> bool:
            return any(channel.endswith(group) for channel in redis.pubsub_channels())

        wait_until(heard_again, "the group is joined anew")
        ends.sessions_end(ada.pk, reason="asked for")
        assert sent_close(processes[0], socket) == CloseCode.SESSION_ENDED
