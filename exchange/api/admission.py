"""Lets a request pass or tells it when to come again, and says on every answer what is left.

The headers are those of the IETF draft on rate limits: `RateLimit-Policy` names the bucket with its
size (`q` tokens in `w` seconds), `RateLimit` what is left in it (`r`) and when it is full (`t`).
"""

from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponseBase

from exchange.access.principals import RateLimits
from exchange.api.routes import NOTHING_THERE, Bucket, Cost, cost_of, parameters_check
from exchange.api.strangers import strangers
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.buckets import LocalBuckets, Rate, Verdict
from exchange.infra.http.address import client_address, network_of
from exchange.infra.throttling import UNLIMITED, Ticket, guard, now_ms
from exchange.signin.known import known_sessions, session_cookie

BURST_SECONDS: Final = {
    Bucket.ORDERS: 1,
    Bucket.CANCELS: 2,
    Bucket.READS: 10,
    Bucket.PUBLIC: 10,
}
PAGE_WEIGHT: Final = 2
PAGE: Final = Cost(Bucket.PUBLIC, PAGE_WEIGHT)
# Keys in META: what the answer tells, and what the network paid for somebody unknown.
_STATE: Final = "takas.rate"
_PAID: Final = "takas.paid"

# What each network has left, and each session that was right lately.
public_buckets: Final = LocalBuckets(now_ms)


class _State(NamedTuple):
    bucket: Bucket
    rate: Rate
    left: int


def request_cost(request: HttpRequest) -> Cost:
    """What this request takes, by the address that it was sent to."""
    match = request.resolver_match
    return cost_of(request.method or "", match.url_name if match is not None else None)


def networks_forget() -> None:
    """Begin anew (between tests)."""
    public_buckets.forget()
    known_sessions.forget()


def request_admit(request: HttpRequest) -> None:
    """Count what authenticates nobody; then refuse what this address does not take."""
    _unauthenticated_admit(request)
    try:
        parameters_check(request)
    except (DomainError, SuspiciousOperation):
        refused_admit(request)
        raise


def refused_admit(request: HttpRequest) -> None:
    """Count what is refused before anybody looked at who sent it. Raises request.rate_limited."""
    if _STATE in request.META or strangers.knows(request.META.get("HTTP_X_TAKAS_KEY")):
        return
    _charge(request, NOTHING_THERE)


def page_admit(request: HttpRequest) -> None:
    """Count a page, by the network or the known session that asks. Raises request.rate_limited."""
    _charge(request, PAGE, "page:")


def session_settle(request: HttpRequest) -> None:
    """What a page found out of its session, if it looked."""
    session = getattr(request, "session", None)
    if session is None or not session.accessed:
        return
    if request.user.is_authenticated:
        session_right(request, int(request.user.pk))
    else:
        session_wrong(request)


def session_right(request: HttpRequest, user_id: int) -> None:
    """A session was right: it is known from now on, and its network gets back what it paid.

    Who has just signed in has nothing back: the password was work.
    """
    key = request.session.session_key
    if key is None:
        return
    known_sessions.keep(key, user_id)
    paid = request.META.pop(_PAID, None)
    if paid is not None and key == session_cookie(request):
        public_buckets.give_back(*paid)
        request.META.pop(_STATE, None)


def session_wrong(request: HttpRequest) -> None:
    """A session was nobody's: its network pays for the look where it did not before."""
    was_known = known_sessions.user_of(request) is not None
    known_sessions.drop(request)
    rate = _rate(Bucket.PUBLIC, settings.PUBLIC_WEIGHT_PER_SECOND)
    if was_known and rate is not UNLIMITED:
        public_buckets.take(network_of(client_address(request)), rate, NOTHING_THERE.weight)


def user_admit(
    request: HttpRequest, user_id: int, limits: RateLimits, signature: str, *, times: int = 1
) -> None:
    """Count a request of a user, its weight so many times.

    Raises auth.replayed, and risk.order_rate or request.rate_limited.
    """
    cost, ticket = _user_ticket(request, user_id, limits, signature, times)
    _settle(request, cost, ticket.rate, guard.check(ticket))


async def user_admit_on_loop(
    request: HttpRequest, user_id: int, limits: RateLimits, signature: str
) -> None:
    """The same on an event loop."""
    cost, ticket = _user_ticket(request, user_id, limits, signature, 1)
    _settle(request, cost, ticket.rate, await guard.check_on_loop(ticket))


def _user_ticket(
    request: HttpRequest, user_id: int, limits: RateLimits, signature: str, times: int
) -> tuple[Cost, Ticket]:
    cost = request_cost(request)
    if cost.bucket is Bucket.PUBLIC:
        cost = cost._replace(bucket=Bucket.READS)
    rate = _rate(cost.bucket, _per_second(limits, cost.bucket))
    once = signature if cost.is_once else ""
    return cost, Ticket(once, f"{cost.bucket}:{user_id}", rate, cost.weight * times)


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


def rate_headers_add(request: HttpRequest, response: HttpResponseBase) -> None:
    """Say it on an answer."""
    for name, value in rate_headers(request).items():
        response.headers[name] = value


def _unauthenticated_admit(request: HttpRequest) -> None:
    """Count a request by its network, before it is known whether anybody sent it.

    What is signed is counted by its key (exchange/api/strangers.py), and then by its user; so is
    what names a session that was right lately.
    """
    cost = request_cost(request)
    if cost.bucket is not Bucket.PUBLIC:
        if "HTTP_X_TAKAS_KEY" in request.META or known_sessions.user_of(request) is not None:
            return
        cost = Cost(Bucket.PUBLIC, cost.weight)
    _charge(request, cost)


def _charge(request: HttpRequest, cost: Cost, kind: str = "") -> None:
    """Take from the bucket of the known session's user, or of the network."""
    rate = _rate(Bucket.PUBLIC, settings.PUBLIC_WEIGHT_PER_SECOND)
    if rate is UNLIMITED:
        return  # nothing is counted, nor looked up
    user_id = known_sessions.user_of(request)
    who = f"user:{user_id}" if user_id is not None else network_of(client_address(request))
    verdict = public_buckets.take(f"{kind}{who}", rate, cost.weight)
    if user_id is None and verdict.wait_ms <= 0:
        request.META[_PAID] = (f"{kind}{who}", rate, cost.weight)
    _settle(request, cost, rate, verdict)


def _per_second(limits: RateLimits, bucket: Bucket) -> int:
    if bucket is Bucket.ORDERS:
        return limits.orders
    return limits.cancels if bucket is Bucket.CANCELS else limits.reads


def _rate(bucket: Bucket, per_second: int) -> Rate:
    return Rate(per_second, per_second * BURST_SECONDS[bucket]) if per_second else UNLIMITED


def _settle(request: HttpRequest, cost: Cost, rate: Rate, verdict: Verdict) -> None:
    if rate is UNLIMITED:
        return
    meta: dict[str, Any] = request.META
    meta[_STATE] = _State(cost.bucket, rate, verdict.left)
    if verdict.wait_ms <= 0:
        return
    retry_after_s = -(-verdict.wait_ms // 1000)
    if cost.bucket is Bucket.ORDERS:
        limit = rate.per_second
        raise DomainError(Code.RISK_ORDER_RATE, limit=limit, retry_after_s=retry_after_s)
    raise DomainError(Code.REQUEST_RATE_LIMITED, retry_after_s=retry_after_s)
