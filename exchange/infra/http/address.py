"""Where a request comes from: the client's address, and the network that limits count by."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest

UNKNOWN: Final = "unknown"  # a Unix socket, or what is no address: all of them count as one
IPV6_PREFIX: Final = 64  # one subscriber has at least that much
NETWORKS_KEPT_MAX: Final = 4_096


def client_address(request: HttpRequest) -> str:
    """The client's address; behind a proxy that we were told of, the one it reports."""
    return environ_address(request.META)


def environ_address(environ: Mapping[str, Any]) -> str:
    """The same for a WSGI environ, before there is a request."""
    forwarded = str(environ.get("HTTP_X_FORWARDED_FOR", ""))
    return _address(str(environ.get("REMOTE_ADDR", "")), forwarded)


def socket_address(scope: Mapping[str, Any]) -> str:
    """The same for a WebSocket's ASGI scope."""
    peer = scope.get("client") or ("",)
    lines = [value for name, value in scope.get("headers", ()) if name == b"x-forwarded-for"]
    return _address(str(peer[0]), lines[-1].decode("latin-1") if lines else "")


@lru_cache(NETWORKS_KEPT_MAX)
def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or a /64 of IPv6."""
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
    # Only the last entry is the proxy's own: what stands before it came from the client.
    if settings.TRUST_PROXY and forwarded:
        return forwarded.rpartition(",")[2].strip()
    return peer
