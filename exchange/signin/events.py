"""What every attempt to sign in leaves on record, whichever door it came through."""

from typing import Final

import structlog
from django.http import HttpRequest

from exchange.http.address import client_address
from exchange.models import User

NAME_LOGGED_CHARS: Final = 150

log = structlog.get_logger(__name__)


def sign_in_succeeded(request: HttpRequest | None, user: User) -> None:
    """The password was right."""
    log.info("signin.succeeded", user_id=user.pk, address=_address(request))


def sign_in_failed(request: HttpRequest | None, name: str) -> None:
    """The name or the password was wrong."""
    log.warning("signin.failed", name=name[:NAME_LOGGED_CHARS], address=_address(request))


def sign_in_refused(request: HttpRequest | None, name: str, retry_after_s: int) -> None:
    """Too many attempts: the password was not looked at."""
    log.warning(
        "signin.refused",
        name=name[:NAME_LOGGED_CHARS],
        address=_address(request),
        retry_after_s=retry_after_s,
    )


def _address(request: HttpRequest | None) -> str:
    return client_address(request) if request is not None else ""
