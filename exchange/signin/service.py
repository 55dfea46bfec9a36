"""Begin a session, or confirm a password again: the only callers of Django's own."""

from django.contrib.auth import authenticate, login
from django.http import HttpRequest

from exchange.models import User


def session_begin(request: HttpRequest, user: User) -> None:
    """Sign in whom a form found: a fresh session under a fresh key."""
    login(request, user)


def password_confirmed(request: HttpRequest, user: User, password: str) -> bool:
    """Whether this is the password of who is signed in; raises auth.too_many_attempts.

    A stolen session must not be a place to guess the password at.
    """
    return authenticate(request, username=user.get_username(), password=password) == user
