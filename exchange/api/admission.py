"""Lets a request pass or tells it when to come again, and says on every answer what is left.

The headers are those of the IETF draft on rate limits: `RateLimit-Policy` names the bucket with its
size (`q` tokens in `w` seconds), `RateLimit` what is left in it (`r`) and when it is full (`t`).
"""

from typing import Any, Final, NamedTuple

from django.conf import settings
from django.http import HttpRequest

from exchange.api.buckets import LocalBuckets, Rate, Verdict
from exchange.api.throttling import UNLIMITED, Ticket, guard, now_ms
from exchange.api.weights import Bucket, Cost, Limits, cost_of
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.http.address import client_address, network_of

BURST_SECONDS: Final = {
    Bucket.ORDERS: 1,
    Bucket.CANCELS: 2,
    Bucket.READS: 10,
    Bucket.PUBLIC: 10,
}
PAGE_WEIGHT: Final = 2
_STATE: Final = "takas.rate"  # key in META

_public: Final = LocalBuckets(now_ms)


class _State(NamedTuple):
    bucket: Bucket
    rate: Rate
    left: int


def request_cost(request: HttpRequest) -> Cost:
    """What this request takes, by the address that it was sent to."""
    match = request.resolver_match
    return cost_of(request.method or "", match.url_name if match is not None else None)


def public_admit(request: HttpRequest) -> None:
    """Count a request that anybody may make, by its network; one of a user's is counted later.

    Raises request.rate_limited.
    """
    cost = request_cost(request)
    if cost.bucket is not Bucket.PUBLIC:
        return
    rate = _rate(Bucket.PUBLIC, settings.PUBLIC_WEIGHT_PER_SECOND)
    if rate is UNLIMITED:
        return
    network = network_of(client_address(request))
    _settle(request, cost, rate, _public.take(network, rate, cost.weight))


def page_admit(request: HttpRequest) -> None:
    """Count a page, by the network that asks for it. Raises request.rate_limited."""
    rate = _rate(Bucket.PUBLIC, settings.PUBLIC_WEIGHT_PER_SECOND)
    if rate is UNLIMITED:
        return
    network = network_of(client_address(request))
    verdict = _public.take(f"page:{network}", rate, PAGE_WEIGHT)
    if verdict.wait_ms > 0:
        retry_after_s = -(-verdict.wait_ms // 1000)
        raise DomainError(Code.REQUEST_RATE_LIMITED, retry_after_s=retry_after_s)


def user_admit(
    request: HttpRequest, user_id: int, limits: Limits, signature: str, *, times: int = 1
) -> None:
    """Count a request of a user, its weight so many times.

    Raises auth.replayed, and risk.order_rate or request.rate_limited.
    """
    cost = request_cost(request)
    bucket = cost.bucket if cost.bucket is not Bucket.PUBLIC else Bucket.READS
    rate = _rate(bucket, _per_second(limits, bucket))
    once = signature if cost.is_once else ""
    ticket = Ticket(once, f"{bucket}:{user_id}", rate, cost.weight * times)
    verdict = guard.check(ticket)
    if rate is not UNLIMITED:
        _settle(request, cost._replace(bucket=bucket), rate, verdict)


def rate_headers(request: HttpRequest) -> dict[str, str]:
    """What an answer says of the bucket that its request took from; nothing without a limit."""
    state: _State | None = request.META.get(_STATE)
    if state is None:
        return {}
    bucket, (per_second, burst), left = state
    full_s = -(-(burst - left) // per_second)
    return {
        "RateLimit-Policy": f'"{bucket}";q={burst};w={burst // per_second}',
        "RateLimit": f'"{bucket}";r={left};t={full_s}',
    }


def _per_second(limits: Limits, bucket: Bucket) -> int:
    if bucket is Bucket.ORDERS:
        return limits.orders
    return limits.cancels if bucket is Bucket.CANCELS else limits.reads


def _rate(bucket: Bucket, per_second: int) -> Rate:
    return Rate(per_second, per_second * BURST_SECONDS[bucket]) if per_second else UNLIMITED


def _settle(request: HttpRequest, cost: Cost, rate: Rate, verdict: Verdict) -> None:
    meta: dict[str, Any] = request.META
    meta[_STATE] = _State(cost.bucket, rate, verdict.left)
    if verdict.wait_ms <= 0:
        return
    retry_after_s = -(-verdict.wait_ms // 1000)
    if cost.bucket is Bucket.ORDERS:
        limit = rate.per_second
        raise DomainError(Code.RISK_ORDER_RATE, limit=limit, retry_after_s=retry_after_s)
    raise DomainError(Code.REQUEST_RATE_LIMITED, retry_after_s=retry_after_s)
