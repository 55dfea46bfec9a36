"""The door of `web`: what gets a thread, what is refused before, and what a slow sender holds."""

import asyncio
import io
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.http import HttpRequest

from exchange.api.answers import Answer
from exchange.api.requests import BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX
from exchange.api.resources import HotView, Resource
from exchange.infra.http.bodies import BODIES_PER_NETWORK_MAX, Bodies
from exchange.infra.http.wsgi import ANSWER_BYTES_MAX, HEAD_BYTES_MAX
from exchange.web.door import Door
from exchange.web.on_loop import GATES_MAX
from orders.api.schema import OrdersDocumentation

pytestmark = pytest.mark.asyncio

# Python knows the most of them, and raises when text is to be read in them.
CHARSETS = [
    b"charset=hex", b"charset=idna", b"charset=undefined", b"charset=rot13", b"charset=utf-16",
    b"charset=nothing", b"charset=utf-8\x00", b"charset=\xff", b"charset*=nothing''x", b"a*=no''x",
    b"charset",
]  # fmt: skip
HANGS_S = 30.0  # only guards against hanging
Headers = list[tuple[bytes, bytes]]


def echo(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """An application that tells what it was given."""
    seen = {key: value for key, value in environ.items() if isinstance(value, str)}
    start("200 OK", [("Content-Type", "application/json"), ("Set-Cookie", "a=1")])
    return [msgspec.json.encode([seen, environ["wsgi.input"].read().decode()])]


def scope_of(method: str, target: bytes, headers: Headers, address: str) -> dict[str, Any]:
    path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "method": method,
        "raw_path": path,
        "query_string": query,
        "http_version": "1.1",
        "scheme": "http",
        "client": (address, "40000"),
        "server": ("127.0.0.1", "8000"),
        "headers": [(b"host", b"localhost"), *headers],
    }


class Exchange:
    """One request and what the door answers; `pieces` that are None never come."""

    def __init__(
        self,
        method: str = "GET",
        target: bytes = b"/page",
        headers: Headers | None = None,
        pieces: Iterable[bytes | None] = (),
        address: str = "10.0.0.1",
    ) -> None:
        self.scope = scope_of(method, target, headers or [], address)
        self.pieces = list(pieces)
        self.asked = 0
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        if not self.pieces:
            return {"type": "http.disconnect"}
        piece = self.pieces.pop(0)
        if piece is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def through(self, door: Door) -> "Exchange":
        await asyncio.wait_for(door(self.scope, self.receive, self.send), HANGS_S)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> Any:
        return msgspec.json.decode(self.sent[1]["body"])

    def refused_as(self, status: int, code: str) -> bool:
        assert self.headers[b"connection"] == b"close"
        assert self.headers[b"content-type"] == b"application/problem+json"
        assert self.body["instance"] == self.headers[b"x-request-id"].decode()
        return (self.status, self.body["code"]) == (status, code)


def length(number: int) -> tuple[bytes, bytes]:
    return b"content-length", str(number).encode()


def signed(age_ms: int = 0) -> Headers:
    stamp = time.time_ns() // 1_000_000 - age_ms
    return [
        (b"x-takas-key", b"tk_aaaaaaaaaa"),
        (b"x-takas-timestamp", str(stamp).encode()),
        (b"x-takas-signature", b"0" * 64),
    ]


@pytest.fixture
def door() -> Door:
    return Door(echo, threads=2)


async def test_a_request_arrives_whole_and_its_answer_leaves_whole(door: Door) -> None:
    pieces = [b"one ", b"and ", b"two"]
    one = Exchange("POST", b"/page/%62?x=%41&y", [length(11)], pieces)
    await one.through(door)
    environ, body = one.body
    assert body == "one and two"
    assert one.asked == 3, "nothing is asked for once all is there"
    assert environ["PATH_INFO"] == "/page/b"
    assert environ["takas.target"] == "/page/%62?x=%41&y"
    assert environ["CONTENT_LENGTH"] == "11"
    assert environ["REMOTE_ADDR"] == "10.0.0.1"
    assert one.headers[b"set-cookie"] == b"a=1"


async def test_a_request_without_a_body_reads_none(door: Door) -> None:
    one = await Exchange().through(door)
    assert (one.status, one.asked, one.body[1]) == (200, 0, "")


async def test_headers_with_an_underscore_are_dropped_and_doubles_are_refused(door: Door) -> None:
    forged = [(b"x_takas_key", b"forged"), (b"x_forwarded_for", b"10.9.9.9"), (b"x-a", b"1")]
    one = await Exchange(headers=[*forged, (b"x-a", b"2")]).through(door)
    environ, _ = one.body
    assert "HTTP_X_TAKAS_KEY" not in environ
    assert "HTTP_X_FORWARDED_FOR" not in environ
    assert environ["HTTP_X_A"] == "1,2"
    for name in (b"x-takas-key", b"host", b"content-type"):
        double = await Exchange(headers=[(name, b"k"), (name, b"k")]).through(door)
        assert double.refused_as(400, "request.head_malformed")
    cookies = await Exchange(headers=[(b"cookie", b"a=1"), (b"cookie", b"b=2")]).through(door)
    assert cookies.body[0]["HTTP_COOKIE"] == "a=1; b=2"


@pytest.mark.parametrize(
    ("target", "headers", "status", "code"),
    [
        (b"/api/v1/orders", [length(BODY_BYTES_MAX + 1)], 413, "request.too_large"),
        (
            b"/api/v1/orders/batch",
            [length(BATCH_BODY_BYTES_MAX + 1)],
            413,
            "request.too_large",
        ),
        (b"/api/v1/orders/batch/", [length(BODY_BYTES_MAX + 1)], 413, "request.too_large"),
        (b"/login", [length(256 * 1024 + 1)], 413, "request.too_large"),
        (b"/login", [(b"content-length", b"1e3")], 400, "request.head_malformed"),
        (b"/login", [(b"content-length", b"-1")], 400, "request.head_malformed"),
        (b"/login", [(b"transfer-encoding", b"chunked")], 411, "request.length_required"),
        (b"/login", [(b"x-a", b"a" * HEAD_BYTES_MAX)], 431, "request.head_too_large"),
        *(
            (path, [(b"content-type", b"text/plain; " + charset)], 400, "request.head_malformed")
            for path in (b"/login", b"/admin/", b"/api/v1/orders")
            for charset in CHARSETS
        ),
        (b"/a%00b", [], 400, "request.head_malformed"),
        (b"/a?b=%00", [], 400, "request.head_malformed"),
        (b"/api/v1/orders", [(b"x-takas-key", b"x")], 401, "auth.key_unknown"),
        (b"/api/v1/orders", signed(10**9), 401, "auth.timestamp_outside_window"),
        (b"/api/v1/orders", None, 401, "auth.signature_invalid"),
    ],
)
async def test_what_the_head_tells_is_refused_before_any_of_the_body_is_read(
    door: Door, target: bytes, headers: Headers | None, status: int, code: str
) -> None:
    if headers is None:
        headers = signed()[:2]  # of this moment, without the signature
    sized = any(name == b"content-length" for name, _ in headers)
    all_headers = headers if sized else [*headers, length(1_000)]
    one = await Exchange("POST", target, all_headers, [b"x"] * 9).through(door)
    assert one.refused_as(status, code)
    assert one.asked == 0


@pytest.mark.parametrize("words", [b"; charset=utf-8", b';charset="UTF-8"', b"; boundary=x", b";"])
async def test_types_that_can_be_read_get_in(door: Door, words: bytes) -> None:
    one = await Exchange("POST", headers=[(b"content-type", b"text/plain" + words)]).through(door)
    assert one.body[0]["CONTENT_TYPE"] == (b"text/plain" + words).decode()


async def settle(door: Door, bodies: int) -> None:
    """Wait until so many bodies are being read."""
    async with asyncio.timeout(HANGS_S):
        while len(door.bodies) != bodies:
            await asyncio.sleep(0)


async def ended(tasks: list["asyncio.Task[Exchange]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_slow_senders_hold_no_thread_while_others_are_answered(door: Door) -> None:
    def slow(at: int) -> Exchange:
        kinds = (
            ("POST", b"/api/v1/orders", [*signed(), length(1_000)]),
            ("POST", b"/login", [length(200)]),
            ("PATCH", b"/api/v1/orders/1", [length(8_000)]),
        )
        return Exchange(*kinds[at % 3], [b"{", None], address=f"10.0.1.{at % 4}")

    tasks = [asyncio.create_task(slow(at).through(door)) for at in range(200)]
    await settle(door, 200)
    assert door.threads.busy == 0
    for _ in range(50):
        one = await Exchange("POST", b"/login", [length(2)], [b"ok"], address="10.0.9.9").through(
            door
        )
        assert one.status == 200
    assert len(door.bodies) == 200
    await ended(tasks)
    assert len(door.bodies) == 0


async def test_a_body_that_does_not_come_in_time_is_given_up() -> None:
    door = Door(echo, threads=1, bodies=Bodies(seconds=0.01))
    one = await Exchange("POST", b"/login", [length(20)], [b"x", None]).through(door)
    assert one.refused_as(408, "request.too_slow")
    assert (len(door.bodies), door.threads.busy) == (0, 0)


async def test_whoever_ends_a_slow_request_sees_it_end() -> None:
    door = Door(echo, threads=1, bodies=Bodies(free_seconds=0.0))
    task = asyncio.create_task(Exchange(*slow_form()).through(door))
    await settle(door, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(door.bodies) == 0


async def test_a_body_in_countless_pieces_is_given_up(door: Door) -> None:
    one = await Exchange("POST", b"/login", [length(1_000)], [b"x"] * 1_000).through(door)
    assert one.refused_as(408, "request.too_slow")
    assert one.asked < 100


async def test_a_body_that_ends_early_is_the_clients_fault_and_no_fault_of_ours(door: Door) -> None:
    """A client that closed only its own half reads an answer: without one the server says 500."""
    one = await Exchange("POST", b"/login", [length(1_000)], [b"x"]).through(door)
    assert one.refused_as(400, "request.head_malformed")
    assert (len(door.bodies), door.threads.busy) == (0, 0)


@pytest.mark.parametrize("bound", [{"total_max": 3}, {"per_network_max": 3}])
async def test_when_too_many_bodies_are_read_the_longest_gives_way(bound: dict[str, int]) -> None:
    door = Door(echo, threads=1, bodies=Bodies(**bound, free_seconds=0.0, grace_seconds=0.0))
    slow = [Exchange("POST", b"/login", [length(9)], [None]) for _ in range(3)]
    tasks = [asyncio.create_task(one.through(door)) for one in slow]
    await settle(door, 3)
    honest = await Exchange("POST", b"/login", [length(2)], [b"ok"]).through(door)
    assert honest.status == 200
    assert not any(task.done() for task in tasks), "who sends in one piece takes no place"
    tasks.append(asyncio.create_task(Exchange(*slow_form()).through(door)))
    await tasks[0]
    assert slow[0].refused_as(408, "request.too_slow")
    assert not any(task.done() for task in tasks[1:])
    await ended(tasks)


def slow_form() -> tuple[str, bytes, Headers, list[bytes | None]]:
    return "POST", b"/login", [length(9)], [None]


async def test_where_all_are_young_the_new_one_gives_way_and_the_prompt_are_answered() -> None:
    bodies = Bodies(per_network_max=3, free_seconds=0.0, grace_seconds=HANGS_S)
    door = Door(echo, threads=1, bodies=bodies)
    tasks = [asyncio.create_task(Exchange(*slow_form()).through(door)) for _ in range(3)]
    await settle(door, 3)
    fourth = await Exchange(*slow_form()).through(door)
    assert fourth.refused_as(408, "request.too_slow")
    for _ in range(20):
        prompt = await Exchange("POST", b"/login", [length(2)], [b"ok"]).through(door)
        assert prompt.status == 200
    assert not any(task.done() for task in tasks)
    await ended(tasks)


async def test_no_more_is_handed_over_than_the_threads_may_have_waiting() -> None:
    release = threading.Event()

    def held(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        assert release.wait(HANGS_S)
        return echo(environ, start)

    door = Door(held, threads=1, requests_max=2)
    tasks = [asyncio.create_task(Exchange().through(door)) for _ in range(2)]
    async with asyncio.timeout(HANGS_S):
        while door.threads.busy < 2:
            await asyncio.sleep(0)
    third = await Exchange().through(door)
    assert third.refused_as(503, "server.busy")
    assert third.headers[b"retry-after"]
    release.set()
    assert [one.status for one in await asyncio.gather(*tasks)] == [200, 200]


class HeldApplication:
    """An application that answers nothing before it is released, and tells who was served."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.begun: list[str] = []

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.begun.append(environ["REMOTE_ADDR"])
        assert self.release.wait(HANGS_S)
        return echo(environ, start)


async def begin(door: Door, address: str, number: int) -> list["asyncio.Task[Exchange]"]:
    """Send so many requests from an address, and wait until they are handed over."""
    before = door.threads.busy
    tasks = [asyncio.create_task(Exchange(address=address).through(door)) for _ in range(number)]
    async with asyncio.timeout(HANGS_S):
        while door.threads.busy < before + number:
            await asyncio.sleep(0)
    return tasks


async def test_one_network_never_has_all_threads_and_others_are_served_in_turn() -> None:
    held = HeldApplication()
    door = Door(held, threads=4)
    flood = await begin(door, "10.0.0.1", 100)
    others = await begin(door, "10.0.0.2", 1)
    async with asyncio.timeout(HANGS_S):
        while len(held.begun) < 4:
            await asyncio.sleep(0)
    assert sorted(held.begun) == ["10.0.0.1"] * 3 + ["10.0.0.2"]
    others += await begin(door, "10.0.0.2", 5)
    held.release.set()
    assert {one.status for one in await asyncio.gather(*flood, *others)} == {200}
    last = max(at for at, address in enumerate(held.begun) if address == "10.0.0.2")
    assert last < 4 + 2 * 5 + 4, "networks take turns, whoever has more waiting"


async def test_when_too_much_waits_the_network_of_most_gives_way() -> None:
    held = HeldApplication()
    door = Door(held, threads=1, requests_max=10)
    flood = await begin(door, "10.0.0.1", 10)
    other = asyncio.create_task(Exchange(address="10.0.0.2").through(door))
    refused = await flood.pop()
    assert refused.refused_as(503, "server.busy")
    assert refused.headers[b"retry-after"]
    again = await Exchange(address="10.0.0.1").through(door)
    assert again.refused_as(503, "server.busy")
    held.release.set()
    assert {one.status for one in await asyncio.gather(*flood, other)} == {200}
    assert door.threads.busy == 0


@pytest.mark.parametrize(
    ("method", "code"), [("GET", "engine.unavailable"), ("POST", "engine.outcome_unknown")]
)
async def test_a_thread_that_hangs_leaves_nobody_without_an_answer(method: str, code: str) -> None:
    release = threading.Event()

    def held(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        assert release.wait(HANGS_S)
        return echo(environ, start)

    door = Door(held, threads=1)
    door.threads.answer_s = 0.01
    one = await Exchange(method).through(door)
    release.set()
    assert one.refused_as(503, code)


async def test_one_network_cannot_use_up_all_bodies(door: Door) -> None:
    many = [
        Exchange("POST", b"/login", [length(9)], [None], address=f"2001:db8::{at:x}")
        for at in range(BODIES_PER_NETWORK_MAX + 20)
    ]
    tasks = [asyncio.create_task(one.through(door)) for one in many]
    await settle(door, BODIES_PER_NETWORK_MAX)
    async with asyncio.timeout(HANGS_S):
        while sum(task.done() for task in tasks) < 20:
            await asyncio.sleep(0)
    assert len(door.bodies) == BODIES_PER_NETWORK_MAX
    await ended(tasks)


async def test_a_fault_of_the_application_is_an_answer_and_the_thread_goes_on() -> None:
    def broken(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/broken":
            raise RuntimeError("a bug")
        if environ["PATH_INFO"] == "/endless":
            start("200 OK", [])
            return (b"x" * 1_000_000 for _ in range(ANSWER_BYTES_MAX))
        return echo(environ, start)

    door = Door(broken, threads=1)
    for path in (b"/broken", b"/endless"):
        one = await Exchange("GET", path).through(door)
        assert one.refused_as(500, "internal.error")
    assert (await Exchange().through(door)).status == 200
    assert door.threads.busy == 0


ORDERS = b"/api/v1/orders"


async def fails(request: HttpRequest) -> Answer:
    raise RuntimeError("a bug")


async def says_what_no_header_can(request: HttpRequest) -> Answer:
    return Answer(200, b"", headers={"X-A": "\u20ac"})


async def nothing_wrong(request: HttpRequest) -> Answer:
    return Answer(200, b"")


def orders_by(view: HotView) -> Resource:
    return Resource("orders", "api-orders", {"POST": view}, OrdersDocumentation)


@pytest.mark.parametrize(
    ("view", "event"), [(fails, "api.fault"), (says_what_no_header_can, "web.fault")]
)
async def test_a_fault_on_the_loop_is_logged_and_answered_with_its_request_id(
    view: HotView, event: str, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door(echo, threads=1, resources=[orders_by(view)])
    headers = [*signed(), (b"x-request-id", b"of-this-request")]
    one = await Exchange("POST", ORDERS, headers).through(door)
    assert one.status == 500
    assert one.body["code"] == "internal.error"
    assert one.body["instance"] == "of-this-request"
    logged: list[Any] = [record.msg for record in caplog.records]
    (fault,) = (line for line in logged if line["event"] == event)
    assert fault["path"] == ORDERS.decode()
    assert fault["request_id"] == "of-this-request"
    assert fault["exc_info"]


async def test_what_a_middleware_will_not_do_for_a_client_is_no_fault(settings: Any) -> None:
    """A redirect to TLS has a longest address; on the loop nobody else turns that into a 400."""
    settings.SECURE_SSL_REDIRECT = True
    door = Door(echo, threads=1, resources=[orders_by(nothing_wrong)])
    target = ORDERS + b"?" + b"{" * 8_000
    one = await Exchange("POST", target, signed()).through(door)
    assert one.refused_as(400, "request.malformed")


async def test_strange_spellings_keep_no_host_name_from_being_remembered(settings: Any) -> None:
    door = Door(echo, threads=1, resources=[orders_by(nothing_wrong)])
    for at in range(GATES_MAX):
        strange = (b"x-forwarded-proto", str(at).encode())
        assert (await Exchange("POST", ORDERS, [*signed(), strange]).through(door)).status == 200
    assert (await Exchange("POST", ORDERS, signed()).through(door)).status == 200
    settings.ALLOWED_HOSTS = ["elsewhere.example"]  # what is remembered is not asked again
    assert (await Exchange("POST", ORDERS, signed()).through(door)).status == 200


async def test_a_file_is_answered_by_its_name_and_a_part_of_it_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.js"
    path.write_bytes(b"content")
    opened: list[Any] = []

    def files(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [])
        opened.append(path.open("rb") if environ["PATH_INFO"] == "/all" else io.BytesIO(b"cont"))
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](opened[-1], 8192)
        return wrapped

    door = Door(files, threads=1)
    whole = await Exchange("GET", b"/all").through(door)
    assert whole.sent[1] == {"type": "http.response.pathsend", "path": str(path)}
    part = await Exchange("GET", b"/part").through(door)
    assert part.sent[1]["body"] == b"cont"
    head = await Exchange("HEAD", b"/all").through(door)
    assert head.sent[1]["body"] == b""
    assert all(one.closed for one in opened)


async def test_sign_ins_leave_the_threads_of_others_free_and_more_of_them_come_again() -> None:
    released = threading.Event()

    def slow_sign_in(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            released.wait(HANGS_S)
        return echo(environ, start)

    door = Door(slow_sign_in, threads=1, sign_ins_max=3)
    doors = [b"/login", b"/admin/login/", b"/%6cogin"]
    trying = [asyncio.create_task(Exchange("POST", path).through(door)) for path in doors]
    try:
        while door.sign_ins.busy < len(doors):
            await asyncio.sleep(0)
        assert (await Exchange("GET", b"/login").through(door)).status == 200
        later = await Exchange("POST", b"/login").through(door)
        assert (later.status, later.headers[b"retry-after"]) == (429, b"1")
        assert b"try again in 1 s" in later.sent[1]["body"]
    finally:
        released.set()
    assert [one.status for one in await asyncio.gather(*trying)] == [200] * len(doors)
