"""The record of attempts to sign in, the same at every door."""

from typing import Final

import structlog
from django.http import HttpRequest

from exchange.access.security_events import event_record
from exchange.access.security_events import sign_in_failed as failure_record
from exchange.domain.enums import SecurityKind
from exchange.infra.http.address import client_address
from exchange.models import User

OFFICE: Final = "/admin/"
WRONG: Final = "wrong name or password"
THROTTLED: Final = "too many attempts"
NO_STAFF: Final = "no staff"
OFFICE_DOOR: Final = "office"

log = structlog.get_logger(__name__)


def sign_in_succeeded(request: HttpRequest | None, user: User) -> None:
    """Record a sign-in, unless the user is signed in already and only confirmed the password."""
    if request is not None and getattr(request, "user", None) == user:
        return
    door = _door(request)
    if door == OFFICE_DOOR and not user.is_staff:
        failure_record(name=user.get_username(), door=door, reason=NO_STAFF)
        return
    event_record(
        SecurityKind.SIGN_IN,
        actor_id=user.pk,
        subject_id=user.pk,
        name=user.get_username(),
        detail={"door": door},
    )
    address = client_address(request) if request is not None else ""
    log.info("signin.succeeded", user_id=user.pk, address=address)


def sign_in_failed(request: HttpRequest | None, name: str) -> None:
    """Record an attempt with a wrong name or password."""
    failure_record(name=name, door=_door(request), reason=WRONG)


def sign_in_refused(request: HttpRequest | None, name: str, retry_after_s: int) -> None:
    """Record an attempt that the throttle refused; its password was not checked."""
    failure_record(name=name, door=_door(request), reason=THROTTLED)


def _door(request: HttpRequest | None) -> str:
    if request is None:
        return "none"
    return OFFICE_DOOR if request.path.startswith(OFFICE) else "page"
