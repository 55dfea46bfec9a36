"""Client addresses: behind a proxy, over IPv6, and where there is none."""

from typing import Any

import pytest
from django.test import RequestFactory, override_settings

from exchange.infra.http.address import UNKNOWN, client_address, network_of, socket_address

FORWARDED = "6.6.6.6, 203.0.113.9"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", UNKNOWN),
        ("unix:", UNKNOWN),
        ("' OR 1=1", UNKNOWN),
    ],
)
def test_a_network_is_an_ipv4_address_or_a_64_of_ipv6(address: str, network: str) -> None:
    assert network_of(address) == network


def test_a_forwarded_address_counts_only_from_a_proxy_that_we_were_told_of() -> None:
    request = RequestFactory().get("/", headers={"X-Forwarded-For": FORWARDED})
    scope: dict[str, Any] = {
        "client": ("127.0.0.1", 4711),
        "headers": [(b"x-forwarded-for", FORWARDED.encode())],
    }
    assert client_address(request) == socket_address(scope) == "127.0.0.1"
    with override_settings(TRUST_PROXY=True):
        # The entries before the last one are the client's own words.
        assert client_address(request) == socket_address(scope) == "203.0.113.9"


def test_a_socket_without_a_peer_has_no_address() -> None:
    assert socket_address({"client": None}) == ""
