"""The record of security events: who did what, to whom, from where. Only this module writes it.

An event belongs to the transaction of its act, so both are stored or neither is. Actor, address
and request id come from the request being answered. Every field is bounded. No secret is kept: a
value in `detail` whose name suggests a secret is replaced.
"""

import os
import re
import threading
import time
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec
import structlog

from exchange.domain.enums import SecurityKind
from exchange.domain.ids import IdGenerator
from exchange.infra.database import node_number
from exchange.infra.http.address import client_address, network_of
from exchange.infra.http.request_id import current_request, request_id
from exchange.models import SecurityEvent, User

log = structlog.get_logger(__name__)

NAME_MAX: Final = 64
USERNAME_MAX: Final = 150
ADDRESS_MAX: Final = 45  # an IPv6 address with an IPv4 one inside
TARGET_MAX: Final = 120
DETAIL_NAMES_MAX: Final = 40
DETAIL_TEXT_MAX: Final = 400
DETAIL_BYTES_MAX: Final = 4_000  # the table allows twice that: Postgres writes JSON with spaces
REDACTED: Final = "(not recorded)"
# An unknown user name may be a password in the wrong field: only so many characters are kept.
STRANGER_SHOWN: Final = 2

_SECRET: Final = re.compile(r"passw|secret|token|signature|cookie|session_key|csrf").search


def event_record(
    kind: SecurityKind,
    *,
    actor_id: int | None = None,
    subject_id: int | None = None,
    name: str = "",
    target: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Store an event. Without `actor_id` the actor is the signed-in user of the request."""
    request = current_request.get()
    if actor_id is None and request is not None:
        user = getattr(request, "user", None)  # no user on the short way
        actor_id = user.pk if user is not None and user.is_authenticated else None
    SecurityEvent.objects.create(
        id=_ids(os.getpid()).next_id(),
        kind=kind,
        actor_id=actor_id,
        subject_id=subject_id,
        name=name_shown(name),
        address=printable(client_address(request))[:ADDRESS_MAX] if request is not None else "",
        request_id=request_id(request) if request is not None else "",
        target=printable(target)[:TARGET_MAX],
        detail=detail_bounded(detail or {}),
    )


def name_shown(name: str) -> str:
    """Return a name for people to read: normalized, printable, at most NAME_MAX long."""
    return printable(unicodedata.normalize("NFKC", name[: 4 * NAME_MAX])).strip()[:NAME_MAX]


def name_of_stranger(name: str) -> str:
    """Return what is recorded of a name that no user has: its beginning and its length."""
    shown = name_shown(name)
    return f"{shown[:STRANGER_SHOWN]}... ({len(shown)} characters)" if shown else ""


def printable(text: str) -> str:
    """Return the text without unprintable characters, which could forge a line or a page."""
    return "".join(char if char.isprintable() else "?" for char in text)


def detail_bounded(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return the detail without secrets and bounded; an oversized detail keeps only its names."""
    kept = {
        printable(str(name))[:NAME_MAX]: REDACTED if is_secret(str(name)) else _bounded(value)
        for name, value in list(detail.items())[:DETAIL_NAMES_MAX]
    }
    if len(msgspec.json.encode(kept)) <= DETAIL_BYTES_MAX:
        return kept
    return {"too_much_about": list(kept)[: DETAIL_NAMES_MAX // 2]}


def is_secret(name: str) -> bool:
    """Return whether a field of this name must never be recorded."""
    return _SECRET(name.lower()) is not None


def _bounded(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return detail_bounded(value)
    if isinstance(value, list | tuple):
        return [_bounded(item) for item in value[:DETAIL_NAMES_MAX]]
    return printable(str(value))[:DETAIL_TEXT_MAX]


class FailureBudget:
    """Bounds the failed sign-ins that a process records, as strangers could fill a disk with them.

    A process records RECORDED_MAX of them a minute, and NETWORK_MAX of one network. Those left out
    are counted; the next one recorded tells their number.
    """

    MINUTE_S: Final = 60.0
    RECORDED_MAX: Final = 60
    NETWORK_MAX: Final = 10

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left_out = 0
        self._began_s: float | None = None
        self.by_network: dict[str, int] = {}  # at most RECORDED_MAX networks

    def take(self, network: str, now_s: float) -> int | None:
        """Count a failure; return how many were left out before it, or None to leave it out."""
        with self._lock:
            if self._began_s is None or now_s - self._began_s >= self.MINUTE_S:
                self._began_s = now_s
                self.by_network.clear()
            of_network = self.by_network.get(network, 0)
            recorded = sum(self.by_network.values())
            if recorded >= self.RECORDED_MAX or of_network >= self.NETWORK_MAX:
                self._left_out += 1
                return None
            self.by_network[network] = of_network + 1
            left_out, self._left_out = self._left_out, 0
            return left_out


failure_budget: Final = FailureBudget()


def sign_in_failed(*, name: str, door: str, reason: str) -> None:
    """Record and log a sign-in that failed at this door (`page`, `office`), within the budget."""
    request = current_request.get()
    address = client_address(request) if request is not None else ""
    left_out = failure_budget.take(network_of(address), time.monotonic())
    if left_out is None:
        return
    plain = printable(unicodedata.normalize("NFKC", name[:USERNAME_MAX]))
    user_id = User.objects.filter(username=plain).values_list("pk", flat=True).first()
    shown = name_shown(name) if user_id is not None else name_of_stranger(name)
    detail = {"door": door, "reason": reason, "left_out_before": left_out}
    event_record(SecurityKind.SIGN_IN_FAILED, subject_id=user_id, name=shown, detail=detail)
    log.warning("signin.failed", name=shown, address=address, **detail)


@cache
def _ids(_pid: int) -> IdGenerator:
    """Return the ids of a process: a forked process must not use its parent's."""
    return IdGenerator(node_number(), lambda: time.time_ns() // 1_000_000)
