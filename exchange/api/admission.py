"""Rate limits: admit a request or refuse it with a time to retry; report the rest on answers.

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
# Keys in META: the bucket's state for the answer's headers, and the tokens that a network paid for
# a request without a known session.
_STATE: Final = "takas.rate"
_PAID: Final = "takas.paid"

# The tokens left to each network and to each user of a known session.
public_buckets: Final = LocalBuckets(now_ms)


class _State(NamedTuple):
    bucket: Bucket
    rate: Rate
    left: int


def request_cost(request: HttpRequest) -> Cost:
    """Return the tokens that this request costs, by its method and its route."""
    match = request.resolver_match
    return cost_of(request.method or "", match.url_name if match is not None else None)


def networks_forget() -> None:
    """Forget all buckets and known sessions (between tests)."""
    public_buckets.forget()
    known_sessions.forget()


def request_admit(request: HttpRequest) -> None:
    """Count an unauthenticated request, then check its parameters and body against its route.

    Raises request.rate_limited and the refusals of `parameters_check`.
    """
    _unauthenticated_admit(request)
    try:
        parameters_check(request)
    except (DomainError, SuspiciousOperation):
        refused_admit(request)
        raise


def refused_admit(request: HttpRequest) -> None:
    """Count a request that is refused before authentication. Raises request.rate_limited."""
    if _STATE in request.META or strangers.knows(request.META.get("HTTP_X_TAKAS_KEY")):
        return
    _charge(request, NOTHING_THERE)


def page_admit(request: HttpRequest) -> None:
    """Count a page for its network or its known session. Raises request.rate_limited."""
    _charge(request, PAGE, "page:")


def session_settle(request: HttpRequest) -> None:
    """Remember whether a page's session was valid, if the page read its session."""
    session = getattr(request, "session", None)
    if session is None or not session.accessed:
        return
    if request.user.is_authenticated:
        session_right(request, int(request.user.pk))
    else:
        session_wrong(request)


def session_right(request: HttpRequest, user_id: int) -> None:
    """Remember a valid session and give its network back the tokens that it paid.

    A request that has just signed in gets nothing back: checking the password was work.
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
    """Forget an invalid session; charge its network for the look-up unless it has paid already."""
    was_known = known_sessions.user_of(request) is not None
    known_sessions.drop(request)
    rate = _rate(Bucket.PUBLIC, settings.PUBLIC_WEIGHT_PER_SECOND)
    if was_known and rate is not UNLIMITED:
        public_buckets.take(network_of(client_address(request)), rate, NOTHING_THERE.weight)


async def user_admit(
    request: HttpRequest, user_id: int, limits: RateLimits, signature: str, *, times: int = 1
) -> None:
    """Count a user's request at `times` its weight.

    Raises auth.replayed, and risk.order_rate or request.rate_limited.
    """
    cost, ticket = _user_ticket(request, user_id, limits, signature, times)
    _settle(request, cost, ticket.rate, await guard.checked(ticket))


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
    """Return the rate limit headers of an answer; none where nothing limits its request."""
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
    """Add the rate limit headers of the request to its answer."""
    for name, value in rate_headers(request).items():
        response.headers[name] = value


def _unauthenticated_admit(request: HttpRequest) -> None:
    """Charge a public or unauthenticated request before authentication.

    Other requests pass: a signed one is charged to its key (exchange/api/strangers.py) and then to
    its user, one with a known session to its user.
    """
    cost = request_cost(request)
    if cost.bucket is not Bucket.PUBLIC:
        if "HTTP_X_TAKAS_KEY" in request.META or known_sessions.user_of(request) is not None:
            return
        cost = Cost(Bucket.PUBLIC, cost.weight)
    _charge(request, cost)


def _charge(request: HttpRequest, cost: Cost, kind: str = "") -> None:
    """Take the cost from the bucket of the known session's user, or else of the network."""
    rate = _rate(Bucket.PUBLIC, settings.PUBLIC_WEIGHT_PER_SECOND)
    if rate is UNLIMITED:
        return  # unlimited: the session need not be looked up either
    user_id = known_sessions.user_of(request)
    payer = f"user:{user_id}" if user_id is not None else network_of(client_address(request))
    verdict = public_buckets.take(f"{kind}{payer}", rate, cost.weight)
    if user_id is None and verdict.wait_ms <= 0:
        request.META[_PAID] = (f"{kind}{payer}", rate, cost.weight)
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
