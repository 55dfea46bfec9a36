"""The client's address of a request, and the network by which limits count clients."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest

UNKNOWN: Final = "unknown"  # of a Unix socket, or of text that is no address: one network
IPV6_PREFIX: Final = 64  # one subscriber has at least a /64
NETWORKS_KEPT_MAX: Final = 4_096


def client_address(request: HttpRequest) -> str:
    """Return the client's address; behind a trusted proxy, the address that the proxy reports."""
    return environ_address(request.META)


def environ_address(environ: Mapping[str, Any]) -> str:
    """Return the client's address from a WSGI environ, before there is a request."""
    forwarded = str(environ.get("HTTP_X_FORWARDED_FOR", ""))
    return _address(str(environ.get("REMOTE_ADDR", "")), forwarded)


def environ_network(environ: Mapping[str, Any]) -> str:
    """Return the network of that address."""
    return network_of(environ_address(environ))


def socket_address(scope: Mapping[str, Any]) -> str:
    """Return the client's address from a WebSocket's ASGI scope."""
    peer = scope.get("client") or ("",)
    lines = [value for name, value in scope.get("headers", ()) if name == b"x-forwarded-for"]
    return _address(str(peer[0]), lines[-1].decode("latin-1") if lines else "")


@lru_cache(NETWORKS_KEPT_MAX)
def network_of(address: str) -> str:
    """Return the network that counts as one client: an IPv4 address, or a /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))


def _address(peer: str, forwarded: str) -> str:
    # Only the last entry is the proxy's own: the entries before it came from the client.
    if forwarded and settings.TRUST_PROXY:
        return forwarded.rpartition(",")[2].strip()
    return peer
