"""What a throttled attempt is answered: a page that was made once, so that refusing costs nothing.

It wears the look of the host that it is shown on, as its style sheets do, and says how long the
wait is.
"""

from functools import cache
from typing import Final

from django.http import HttpResponse
from django.template.loader import render_to_string

# Where a name and a password are posted to.
SIGN_IN_PATHS: Final = frozenset({"/login", "/admin/login/"})
_SECONDS: Final = "@seconds@"


def is_sign_in(method: str | None, path: str) -> bool:
    """Whether a request is an attempt to sign in."""
    return method == "POST" and path in SIGN_IN_PATHS


@cache
def _page() -> bytes:
    return render_to_string("web/wait.html", {"wait_s": _SECONDS}).encode()


def wait_page(wait_s: int) -> tuple[bytes, dict[str, str]]:
    """The page's bytes, and the headers that go with them."""
    body = _page().replace(_SECONDS.encode(), str(wait_s).encode())
    return body, {"Retry-After": str(wait_s), "Cache-Control": "no-store"}


def wait_answer(wait_s: int) -> HttpResponse:
    """The page as Django's answer."""
    body, headers = wait_page(wait_s)
    return HttpResponse(body, status=429, headers=headers)
