"""Unreadable requests: refused without a fault, with one bounded line of the log at most."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.conf import settings
from django.test import Client
from prometheus_client import REGISTRY

from exchange.infra.logging import configure
from exchange.infra.told import LINES
from tests.factories.models import SymbolFactory, UserFactory

pytestmark = pytest.mark.django_db

LINE_BYTES_MAX = 1_024
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=x"
MANY = "&".join(f"parameter{n}=1" for n in range(5_000))
PLACES = ["/login", "/admin/login/", "/admin/exchange/user/", "/nothing", "/api/v1/symbols",
          "/api/v1/orders", "/api/v1/keys", "/api/v1/nothing", "/api/schema"]  # fmt: skip


class Bad(NamedTuple):
    query: str = ""
    body: bytes = b""
    content_type: str = FORM
    headers: dict[str, str] = {}


PART = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n1\r\n'
BAD = {
    "fields of a query": Bad(query=MANY),
    "fields of a form": Bad(body=MANY.encode()),
    "fields of parts": Bad(
        body=b"".join(PART % (b"%d" % n, b"") for n in range(300)) + b"--x--\r\n",
        content_type=PARTS,
    ),
    "files of parts": Bad(
        body=b"".join(PART % (b"%d" % n, b'; filename="f"') for n in range(300)) + b"--x--\r\n",
        content_type=PARTS,
    ),
    "a form too large": Bad(body=b"a=" + b"x" * (512 * 1024)),
    "parts too large": Bad(
        body=PART.replace(b"1\r\n", b"x" * (512 * 1024) + b"\r\n") % (b"a", b"") + b"--x--\r\n",
        content_type=PARTS,
    ),
    "parts without a boundary": Bad(body=b"x", content_type="multipart/form-data"),
    "parts with a bad boundary": Bad(body=b"x", content_type="multipart/form-data; boundary=é\t"),
    "parts that end nowhere": Bad(body=PART % (b"a", b"") * 2, content_type=PARTS),
    "parts in bad base64": Bad(
        body=b'--x\r\nContent-Disposition: form-data; name="a"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!!\r\n--x--\r\n",
        content_type=PARTS,
    ),
    "a part in a charset that is none": Bad(
        body=PART % (b"a", b"; filename*=nothing''x; charset*=hex''y") + b"--x--\r\n",
        content_type=PARTS,
    ),
    "bytes that are no text": Bad(query="a=%ff%fe&%c0%80=1", body=b"a=%ff&\xff\xfe=1"),
    "json that is no text": Bad(body=b"\xff\xfe{", content_type="application/json"),
    "line ends": Bad(query="next=%0d%0aSet-Cookie:%20a=b&%0d%0a=1", body=b"next=%0d%0aX:%201"),
    "line ends in headers": Bad(headers={"X-Request-Id": "a\r\nX: 1", "Referer": "a\r\nX: 1"}),
    "hostile headers": Bad(
        headers={
            "Cookie": 'csrftoken=\r\n; messages=[["__json_message",0,25,"x"]]; a="\\000"',
            "Accept-Language": "x" * 10_000,
            "If-Modified-Since": "\xff",
            "X-Forwarded-Host": "a b",
            "Range": "bytes=9-1",
            "Origin": "http://[",
        }
    ),
    **{
        f"charset {name} of {kind}": Bad(
            query="a=%ff", body=b"a=%ff", content_type=f"{kind}; charset={name}"
        )
        for name in ("utf-8", "nothing")
        for kind in (FORM, "application/json", "text/plain")
    },
}


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Logs are what production writes."""
    configure({**settings.LOGGING, "format": "json", "level": "INFO"})
    yield
    configure(settings.LOGGING)


def client_of(who: str) -> Client:
    client = Client(raise_request_exception=False, enforce_csrf_checks=who == "strict")
    if who == "root":
        client.force_login(UserFactory.create(superuser=True, username="root", password="x"))
    elif who == "cookie":
        client.cookies["csrftoken"] = "x" * 32
    return client


@pytest.mark.parametrize("who", ["stranger", "strict", "cookie", "root"])
@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_refused_in_one_bounded_line(
    name: str, who: str, settings: Any, lines: None, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.PUBLIC_WEIGHT_PER_SECOND = 0
    SymbolFactory.create(code="BTC-USDT")
    client, bad = client_of(who), BAD[name]
    for path in PLACES:
        for method in ("GET", "POST"):
            capsys.readouterr()
            response = client.generic(
                method, path, bad.body, bad.content_type,
                query_params=None, QUERY_STRING=bad.query, headers=bad.headers,
            )  # fmt: skip
            logged = capsys.readouterr().out.splitlines()
            seen = f"{method} {path}: {response.status_code} {[one[:600] for one in logged]}"
            assert response.status_code < 500, seen
            assert len(logged) <= 1, seen
            assert all(len(one.encode()) <= LINE_BYTES_MAX for one in logged), seen
            assert all("exception" not in json.loads(one) for one in logged), seen


def test_too_many_parameters_are_a_bad_request(settings: Any) -> None:
    for path in ("/login", "/admin/login/", "/api/v1/symbols", "/api/v1/keys?x=1"):
        client = Client(raise_request_exception=False)
        if path.startswith("/api/v1/keys"):
            client.force_login(UserFactory.create(username="ada", password="x"))
        assert client.get(path, QUERY_STRING=MANY).status_code == 400, path


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize(
    ("event", "host", "path"),
    [
        ("http.host_unknown", "evil.example", "/api/v1/symbols"),
        ("http.bad_request", "testserver", f"/login?{MANY}"),
    ],
)
def test_what_a_stranger_repeats_fills_no_log(
    event: str, host: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    def untold() -> float:
        return REGISTRY.get_sample_value("takas_log_lines_untold_total", {"event": event}) or 0.0

    client, before = client_of("stranger"), untold()
    requests = LINES.burst * 3
    statuses = {client.get(path, headers={"host": host}).status_code for _ in range(requests)}
    told = sum(event in record.getMessage() for record in caplog.records)
    assert statuses <= {400, 429}
    assert told >= LINES.burst
    assert untold() > before
    assert told + untold() - before <= requests
