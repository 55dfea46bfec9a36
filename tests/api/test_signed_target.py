"""Signatures: they cover what is on the wire, and the documentation's vectors are true."""

import hmac
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.wsgi import get_wsgi_application

from config.demo.client import Credentials, Signer
from exchange.api.keys import string_to_sign
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.http.wsgi import environ_of, messages_of
from tests.factories.trading import Trader
from tests.unit.exchange_http.test_door import scope_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "authentication.md"
_ROW = re.compile(r"^\| `(\d+)` \| `(\w+)` \| `([^`]+)` \| (?:`([^`]*)`)? ?\| `(\w{64})` \|$", re.M)


def vectors() -> list[tuple[str, str, str, str, str]]:
    found: list[tuple[str, str, str, str, str]] = _ROW.findall(PAGE.read_text())
    return found


def test_the_documented_vectors_are_what_we_compute() -> None:
    secret = re.search(r"secret of all of them is `(\w+)`", PAGE.read_text())
    assert secret is not None
    assert len(vectors()) == 6
    for timestamp, method, target, body, signature in vectors():
        signed = string_to_sign(timestamp, method, target, body.encode())
        assert hmac.new(secret[1].encode(), signed, "sha256").hexdigest() == signature, target


def asked(trader: Trader, sent: str, signed: str, *extra: tuple[bytes, bytes]) -> Any:
    """The status and code of a GET that is sent as one target and signed as another."""
    request = Signer("localhost", Credentials(trader.key, trader.secret)).request("GET", signed)
    lines = [line.partition(b": ") for line in request.split(b"\r\n")[1:] if line]
    headers = [(name.lower(), value) for name, _, value in lines if name != b"Host"]
    scope = scope_of("GET", sent.encode(), [*headers, *extra], "10.0.0.1")
    start, body = messages_of(get_wsgi_application(), environ_of(scope), b"")
    return start["status"], msgspec.json.decode(body["body"]).get("code")


PLAIN, ENCODED = "/api/v1/balances", "/api/v1/%62alances"


@pytest.mark.parametrize(
    ("sent", "signed", "status"),
    [
        (PLAIN, PLAIN, 200),
        (ENCODED, ENCODED, 200),
        (ENCODED, PLAIN, 401),
        (PLAIN, ENCODED, 401),
        ("/api/v1/orders?status=open", "/api/v1/orders?status=open", 200),
        ("/api/v1/orders?status=%6fpen", "/api/v1/orders?status=%6fpen", 200),
        ("/api/v1/orders?status=%6fpen", "/api/v1/orders?status=open", 401),
    ],
)
def test_the_bytes_that_are_sent_are_what_is_signed(
    ada: Trader, sent: str, signed: str, status: int
) -> None:
    code = None if status == 200 else "auth.signature_invalid"
    assert asked(ada, sent, signed) == (status, code)


def test_a_second_spelling_of_a_header_is_not_read(ada: Trader, boris: Trader) -> None:
    forged = (b"x_takas_key", boris.key.encode())
    assert asked(ada, PLAIN, PLAIN, forged) == (200, None)
    with pytest.raises(DomainError) as raised:
        asked(ada, PLAIN, PLAIN, (b"x-takas-key", boris.key.encode()))
    assert raised.value.code is Code.REQUEST_HEAD_MALFORMED
