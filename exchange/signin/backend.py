"""The backend of settings.AUTHENTICATION_BACKENDS, the only place that checks a password.

The throttle is part of the backend, so every door that calls Django's `authenticate` passes it.
"""

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from exchange.domain.errors import DomainError
from exchange.infra.http.address import client_address
from exchange.models import User
from exchange.signin.events import sign_in_failed, sign_in_refused, sign_in_succeeded
from exchange.signin.hashing import places_for
from exchange.signin.rules import attempt_of
from exchange.signin.throttle import Taken, throttle


class ThrottledBackend(ModelBackend):
    """Django's backend for users of the database, behind the throttle."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """Return the user of this name and password, or None. Raises auth.too_many_attempts."""
        name = username if username is not None else kwargs.get(User.USERNAME_FIELD)
        if name is None or password is None:
            return None
        try:
            taken = throttle.take(attempt_of(name, client_address(request) if request else ""))
            user = self._user_of(request, name, password, taken)
        except DomainError as refusal:
            sign_in_refused(request, name, int(refusal.params["retry_after_s"]))
            raise
        if user is None:
            sign_in_failed(request, name)
            return None
        throttle.give_back(taken, was_right=True)
        sign_in_succeeded(request, user)
        return user

    async def aauthenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """Call `authenticate` in a thread: Django's own coroutine would bypass the throttle."""
        return await sync_to_async(self.authenticate)(request, username, password, **kwargs)

    def _user_of(
        self, request: HttpRequest | None, name: str, password: str, taken: Taken
    ) -> User | None:
        """Return the user of this password, or None. An attempt that was not checked is free."""
        if "\x00" in name:  # Postgres stores no NUL, so no user has such a name
            return None
        try:
            with places_for(taken).place():
                return super().authenticate(request, username=name, password=password)
        except Exception:
            throttle.give_back(taken, was_right=False)
            raise
