"""Sign-in and confirmation of passwords: the only callers of Django's `login`, `authenticate`."""

from django.contrib.auth import authenticate, login
from django.http import HttpRequest

from exchange.models import User


def session_begin(request: HttpRequest, user: User) -> None:
    """Sign in the user whom a form authenticated: a new session under a new key."""
    login(request, user)


def password_confirmed(request: HttpRequest, user: User, password: str) -> bool:
    """Return whether this is the password of the user; raises auth.too_many_attempts.

    The throttle counts it: nobody may guess the password from a stolen session.
    """
    return authenticate(request, username=user.get_username(), password=password) == user
