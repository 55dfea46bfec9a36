"""settings.AUTHENTICATION_BACKENDS: a password is looked at here and nowhere else.

The throttle is part of it: a door that asks Django who somebody is has passed it.
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
    """Users of the database, by name and password; raises auth.too_many_attempts."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        name = username if username is not None else kwargs.get(User.USERNAME_FIELD)
        if name is None or password is None:
            return None
        try:
            taken = throttle.take(attempt_of(name, client_address(request) if request else ""))
            user = self._look(request, name, password, taken)
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
        """Django's own would go past the throttle."""
        return await sync_to_async(self.authenticate)(request, username, password, **kwargs)

    def _look(
        self, request: HttpRequest | None, name: str, password: str, taken: Taken
    ) -> User | None:
        """Whose password this is. Where nothing could be looked at, nothing counts."""
        if "\x00" in name:  # Postgres knows no such text, so nobody has such a name
            return None
        try:
            with places_for(taken).place():
                return super().authenticate(request, username=name, password=password)
        except Exception:
            throttle.give_back(taken, was_right=False)
            raise
