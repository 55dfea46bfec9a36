"""The throttle of sign-ins: one for every door that asks for a password."""

import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import MD5PasswordHasher, ScryptPasswordHasher
from django.db import connection
from django.http import HttpResponse
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.settings.parts import auth
from exchange.access.security_events import FailureBudget
from exchange.domain.errors import DomainError
from exchange.infra.redis import redis_client
from exchange.models import User
from exchange.signin import hashing, throttle
from exchange.signin.rules import (
    ACCOUNT,
    FORGOTTEN_MS,
    KNOWN_MS,
    KNOWN_NETWORKS_MAX,
    NETWORK,
    PAIR,
    Attempt,
    attempt_of,
)
from exchange.signin.throttle import Counters, LocalCounters, SharedCounters, Throttle
from exchange.signin.wait_page import SIGN_IN_PATHS, wait_page
from exchange.web.door import SIGN_IN_THREADS
from tests.factories.models import SymbolFactory, UserFactory

HOME = "203.0.113.1"
ELSEWHERE = "203.0.113.2"


class Clock:
    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms


class Tries:
    """Attempts against counters, with a clock that only the test moves."""

    def __init__(self, counters: Counters) -> None:
        self.clock = Clock()
        self.throttle = Throttle(counters, LocalCounters(), self.clock)

    def wrong(self, name: str, address: str = HOME) -> int:
        """Try in vain; return the seconds to wait, 0 when the password was looked at."""
        try:
            self.throttle.take(attempt_of(name, address))
        except DomainError as refusal:
            return int(refusal.params["retry_after_s"])
        return 0

    def right(self, name: str, address: str = HOME) -> int:
        try:
            taken = self.throttle.take(attempt_of(name, address))
        except DomainError as refusal:
            return int(refusal.params["retry_after_s"])
        self.throttle.give_back(taken, was_right=True)
        return 0

    def later(self, seconds: int) -> None:
        self.clock.ms += 1_000 * seconds


@pytest.fixture(params=[SharedCounters, LocalCounters])
def tries(request: pytest.FixtureRequest) -> Tries:
    redis_client().flushdb()
    return Tries(request.param())


def test_the_delay_grows_and_nobody_is_locked_out(tries: Tries) -> None:
    assert [tries.wrong("ada") for _ in range(PAIR.free)] == [0] * PAIR.free
    waits = []
    for _ in range(10):
        waits.append(tries.wrong("ada"))
        tries.later(waits[-1] - 1)
        assert tries.wrong("ada") == 1, "a refused attempt does not make the delay longer"
        tries.later(1)
        assert tries.wrong("ada") == 0
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
    tries.later(900)
    assert tries.right("ada") == 0
    assert tries.wrong("ada") == 0, "the right password makes a new beginning"


def test_counters_are_forgotten(tries: Tries) -> None:
    for _ in range(PAIR.free):
        tries.wrong("ada")
    assert tries.wrong("ada") > 0
    tries.later(FORGOTTEN_MS // 1_000)
    assert [tries.wrong("ada") for _ in range(PAIR.free)] == [0] * PAIR.free


@pytest.mark.parametrize(
    "spelling",
    ["maker-1", " maker-1", "MAKER-1 ", "\uff4d\uff41\uff4b\uff45\uff52-1", "ma\u212aer-1"],
)
def test_spellings_of_one_name_share_a_counter(tries: Tries, spelling: str) -> None:
    for _ in range(PAIR.free):
        tries.wrong("Maker-1")
    assert tries.wrong(spelling) > 0
    assert tries.wrong("maker-2") == 0


def test_hostile_names_make_bounded_keys() -> None:
    for name in ("", "\x00", "a" * 100_000, "\ud800", "*", "\u202e" * 9_000):
        account, network = attempt_of(name, "' OR 1=1")
        assert (len(account), network) == (32, "unknown")


def test_failures_of_one_address_slow_strangers_there_and_nobody_else(tries: Tries) -> None:
    assert tries.right("ada") == 0
    for number in range(NETWORK.free):
        assert tries.wrong(f"name-{number}") == 0
    assert tries.wrong("boris") > 0, "a name that never signed in from there waits"
    assert tries.right("ada") == 0, "who signed in from there before does not"
    assert tries.right("boris", ELSEWHERE) == 0
    tries.later(NETWORK.most_ms // 1_000)
    assert tries.right("boris") == 0, "and even a stranger gets in after the delay"


def test_failures_from_everywhere_slow_strangers_to_an_account_and_not_its_owner(
    tries: Tries,
) -> None:
    assert tries.right("ada") == 0
    for number in range(ACCOUNT.free):
        assert tries.wrong("ada", f"198.51.100.{number}") == 0
    assert tries.wrong("ada", ELSEWHERE) > 0
    assert tries.right("ada") == 0
    tries.later(ACCOUNT.most_ms // 1_000)
    assert tries.right("ada", ELSEWHERE) == 0


def test_who_is_known_from_an_address_is_held_by_the_pair_all_the_same(tries: Tries) -> None:
    tries.right("ada")
    assert [tries.wrong("ada") for _ in range(PAIR.free)] == [0] * PAIR.free
    assert tries.wrong("ada") > 0


def test_a_known_network_is_forgotten_after_its_time(tries: Tries) -> None:
    tries.right("ada")
    tries.later(KNOWN_MS // 1_000)
    for number in range(NETWORK.free):
        tries.wrong(f"name-{number}")
    assert tries.right("ada") > 0


def test_a_64_of_ipv6_is_one_address(tries: Tries) -> None:
    for number in range(PAIR.free):
        tries.wrong("ada", f"2001:db8::{number + 1:x}")
    assert tries.wrong("ada", "2001:db8::ffff:1") > 0
    assert tries.wrong("ada", "2001:db8:0:1::1") == 0


def test_redis_keeps_a_bounded_number_of_networks_an_account() -> None:
    redis_client().flushdb()
    tries = Tries(SharedCounters())
    for number in range(KNOWN_NETWORKS_MAX + 5):
        tries.right("ada", f"198.51.100.{number}")
    [key] = redis_client().scan_iter("*:signin:known:*")
    assert redis_client().zcard(key) == KNOWN_NETWORKS_MAX
    assert all(redis_client().ttl(key) > 0 for key in redis_client().scan_iter())


def test_this_process_keeps_a_bounded_number_of_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "COUNTERS_MAX", 10)
    counters = LocalCounters()
    tries = Tries(counters)
    for number in range(50):
        tries.right(f"m{number}", f"198.51.100.{number}")
    for number in range(50):
        tries.wrong(f"n{number}", f"198.51.101.{number}")
    assert len(counters.counts) == len(counters.known) == 10


class Away(SharedCounters):
    """Redis that does not answer."""

    def take(self, attempt: Attempt, now_ms: int, *, counted: bool = True) -> None:
        return None

    def give_back(self, taken: Any, now_ms: int, *, was_right: bool) -> bool:
        return False


def test_without_redis_the_process_counts_by_itself() -> None:
    tries = Tries(Away())
    assert [tries.wrong("ada") for _ in range(PAIR.free)] == [0] * PAIR.free
    assert tries.wrong("ada") > 0


def test_who_only_looks_counts_nothing(tries: Tries) -> None:
    ada = attempt_of("ada", HOME)
    assert {tries.throttle.look(ada).wait_s for _ in range(2 * PAIR.free)} == {0}
    assert [tries.wrong("ada") for _ in range(PAIR.free)] == [0] * PAIR.free
    assert tries.throttle.look(ada).wait_s == tries.wrong("ada") == 5


# --- the doors --------------------------------------------------------------------------------


@pytest.fixture
def people(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Somebody and a superuser; no time passes for the throttle, however slow the machine is."""
    monkeypatch.setattr(throttle.throttle, "now_ms", Clock())
    redis_client().flushdb()
    SymbolFactory.create(code="BTC-USDT")
    UserFactory.create(username="ada", password="right")
    UserFactory.create(superuser=True, username="root", password="right")
    yield
    redis_client().flushdb()


def post(door: str, name: str, password: str, **extra: Any) -> HttpResponse:
    values = {"username": name, "password": password, "next": "/admin/"}
    return Client().post(door, values, **extra)


DOORS = ["/login", "/admin/login/"]


@pytest.mark.parametrize("door", DOORS)
def test_every_door_says_when_to_come_again(people: None, door: str) -> None:
    for _ in range(PAIR.free):
        assert post(door, "root", "wrong").status_code in (200, 401)
    response = post(door, "root", "right")
    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0
    assert f"try again in {response['Retry-After']} s" in response.content.decode()
    assert "sessionid" not in response.cookies


def test_all_doors_share_one_counter(people: None) -> None:
    for index in range(PAIR.free):
        post(DOORS[index % 2], " ROOT", "wrong")
    assert [post(door, "root", "right").status_code for door in DOORS] == [429, 429]


def test_an_attempt_that_was_given_back_leaves_no_counter() -> None:
    redis_client().flushdb()
    counters = SharedCounters()
    taken = counters.take(attempt_of("ada", HOME), 1)
    assert taken is not None
    assert redis_client().dbsize() == 3
    counters.give_back(taken, 1, was_right=False)
    assert redis_client().dbsize() == 0


@pytest.mark.parametrize("door", DOORS)
def test_a_right_password_after_some_failures_is_let_in(people: None, door: str) -> None:
    for _ in range(PAIR.free - 1):
        post(door, "root", "wrong")
    assert post(door, "root", "right").status_code == 302


def test_forty_failures_of_an_address_leave_its_known_people_in(people: None) -> None:
    assert post("/login", "ada", "right").status_code == 302
    for number in range(NETWORK.free + 5):
        post("/login", f"name-{number}", "wrong")
    assert post("/login", "ada", "right").status_code == 302
    assert post("/login", "root", "right").status_code == 429
    assert post("/login", "root", "right", REMOTE_ADDR=ELSEWHERE).status_code == 302


class SlowHasher(MD5PasswordHasher):
    """Counts who is looked at, and lets all come in before the first is done."""

    algorithm = "md5"
    looked = 0
    at_once = 0
    most_at_once = 0
    lock = threading.Lock()

    def verify(self, password: str, encoded: str) -> bool:
        cls = SlowHasher
        with cls.lock:
            cls.looked += 1
            cls.at_once += 1
            cls.most_at_once = max(cls.most_at_once, cls.at_once)
        threading.Event().wait(0.05)
        with cls.lock:
            cls.at_once -= 1
        return super().verify(password, encoded)


@override_settings(PASSWORD_HASHERS=["tests.services.test_sign_in.SlowHasher"])
def test_attempts_at_once_pass_no_limit_and_take_a_bounded_number_of_threads(
    people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "HASH_WAIT_S", 60.0)
    UserFactory.create(username="eve", password="right")
    SlowHasher.looked = SlowHasher.most_at_once = 0

    def attempt(number: int) -> int:
        try:
            return post("/login", "eve", f"wrong-{number}").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(attempt, range(12)))
    assert SlowHasher.looked == statuses.count(401) == PAIR.free
    assert statuses.count(429) == 12 - PAIR.free
    assert SlowHasher.most_at_once <= hashing.STRANGERS_AT_ONCE_MAX


def test_attempts_that_nobody_looked_at_do_not_count(
    people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "HASH_WAIT_S", 0.0)
    held = [hashing.STRANGERS.place() for _ in range(hashing.STRANGERS_AT_ONCE_MAX)]
    for place in held:
        place.__enter__()
    try:
        for _ in range(PAIR.free + 2):
            assert post("/login", "ada", "right")["Retry-After"] == "1"
    finally:
        for place in held:
            place.__exit__(None, None, None)
    assert post("/login", "ada", "right").status_code == 302


def test_strangers_cannot_take_the_places_of_those_who_are_known(people: None) -> None:
    assert post("/login", "ada", "right").status_code == 302
    held = [hashing.STRANGERS.place() for _ in range(hashing.STRANGERS_AT_ONCE_MAX)]
    for place in held:
        place.__enter__()
    try:
        assert post("/login", "ada", "right").status_code == 302
    finally:
        for place in held:
            place.__exit__(None, None, None)


def test_a_stolen_session_cannot_guess_the_password_where_it_is_changed(people: None) -> None:
    client = Client()
    client.force_login(User.objects.get(username="root"))
    new = {"new_password1": "a-new-long-one", "new_password2": "a-new-long-one"}

    def change(old: str) -> HttpResponse:
        return client.post("/admin/password_change/", {"old_password": old, **new})

    assert [change("wrong").status_code for _ in range(PAIR.free)] == [200] * PAIR.free
    response = change("right")
    assert (response.status_code, response.has_header("Retry-After")) == (429, True)
    assert User.objects.get(username="root").check_password("right")
    redis_client().flushdb()
    assert change("right").status_code == 302
    assert User.objects.get(username="root").check_password("a-new-long-one")


def test_names_that_postgres_cannot_hold_are_nobodys(people: None) -> None:
    assert authenticate(None, username="ro\x00ot", password="right") is None
    for door in DOORS:
        assert post(door, "ro\x00ot", "right").status_code == 400
        assert post(door, "ada", "ri\x00ght").status_code == 400


def test_the_doors_are_those_that_the_pages_have() -> None:
    assert {reverse("login"), reverse("admin:login")} == SIGN_IN_PATHS == set(DOORS)


@pytest.mark.parametrize("door", DOORS)
def test_an_attempt_that_has_to_wait_renders_nothing_and_reads_no_session(
    people: None, door: str
) -> None:
    for _ in range(FailureBudget.NETWORK_MAX):  # of what is refused after these nothing is recorded
        post(door, "root", "wrong", REMOTE_ADDR=HOME)
    client = Client(REMOTE_ADDR=HOME)
    client.cookies["sessionid"] = "a" * 32
    with CaptureQueriesContext(connection) as queries:
        response = client.post(door, {"username": "root", "password": "right"})
    assert (response.status_code, response.templates, len(queries)) == (429, [], 0)


@pytest.mark.parametrize("door", DOORS)
def test_strangers_who_find_no_place_for_a_hash_cost_no_more(
    people: None, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_page(1)  # a process renders it once, for the first attempt that waits
    monkeypatch.setattr(hashing, "STRANGERS", hashing.HashPlaces(1, waiting_max=1))
    with hashing.STRANGERS.place():
        response = Client().post(door, {"username": "root", "password": "right"})
        told = (response.status_code, response["Retry-After"], response.templates)
        assert told == (429, "1", [])
    assert post(door, "root", "right").status_code == 302


def test_a_place_of_strangers_rests_after_each_hash() -> None:
    now_s = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now_s[0] += seconds

    places = hashing.HashPlaces(1, rest=3.0, clock=lambda: now_s[0], sleep=sleep)
    for took_s in (0.125, 0.25, 50.0):
        with places.place():
            now_s[0] += took_s
    with places.place():
        pass
    assert slept == [0.375, 0.75, hashing.REST_MAX_S], "none before the first"
    now_s[0] += 10
    with places.place():
        assert len(slept) == 3, "who comes later than that waits for nothing"
    with pytest.raises(ValueError), places.place():
        raise ValueError
    with places.place():
        assert len(slept) == 3, "a place comes back whatever happens in it"


def hashing_threads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Name and niceness of the threads that will hash."""
    seen: list[tuple[str, int]] = []
    scrypt = hashlib.scrypt

    def watched(*args: Any, **kwargs: Any) -> bytes:
        thread = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, thread)
        seen.append((threading.current_thread().name, niceness))
        return scrypt(*args, **kwargs)

    monkeypatch.setattr(hashlib, "scrypt", watched)
    return seen


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has a niceness for each thread")
def test_passwords_are_hashed_in_threads_that_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert auth.PASSWORD_HASHERS[0] == "exchange.signin.hashing.NiceScryptHasher"
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    seen = hashing_threads(monkeypatch)
    hasher = hashing.NiceScryptHasher()
    encoded = hasher.encode("right", "salt")
    assert ScryptPasswordHasher().verify("right", encoded), "what it makes is Django's"
    assert not hasher.verify("wrong", encoded)
    names, nicenesses = zip(*[seen[0], seen[2]], strict=True)
    assert all(name.startswith("hash") for name in names)
    assert set(nicenesses) == {max(before, hashing.HASH_NICENESS)}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_some_threads_of_sign_ins_are_left_to_refuse() -> None:
    assert hashing.HASHES_WAITING_MAX < SIGN_IN_THREADS
