"""The page for a throttled attempt to sign in, rendered once, so that a refusal costs nothing.

The page says how long the wait is. Its style sheets give it the look of its host's brand.
"""

from functools import cache
from typing import Final

from django.http import HttpResponse
from django.template.loader import render_to_string

# Addresses to which a name and a password are posted.
SIGN_IN_PATHS: Final = frozenset({"/login", "/admin/login/"})
_SECONDS: Final = "@seconds@"


def is_sign_in(method: str | None, path: str) -> bool:
    """Return whether a request is an attempt to sign in."""
    return method == "POST" and path in SIGN_IN_PATHS


@cache
def _page() -> bytes:
    return render_to_string("web/wait.html", {"wait_s": _SECONDS}).encode()


def wait_page(wait_s: int) -> tuple[bytes, dict[str, str]]:
    """Return the page's bytes and its headers for a wait in seconds."""
    body = _page().replace(_SECONDS.encode(), str(wait_s).encode())
    return body, {"Retry-After": str(wait_s), "Cache-Control": "no-store"}


def wait_answer(wait_s: int) -> HttpResponse:
    """Return the page as an answer of Django's."""
    body, headers = wait_page(wait_s)
    return HttpResponse(body, status=429, headers=headers)
