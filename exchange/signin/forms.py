"""Django's forms for passwords, which tell a throttled user how long to wait."""

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from exchange.access.ends import password_store
from exchange.domain.errors import DomainError
from exchange.models import User
from exchange.signin.service import password_confirmed


class SignInForm(AuthenticationForm):
    """The sign-in form of the page."""

    wait_s = 0  # seconds until the next attempt, when this one was refused

    def clean(self) -> dict[str, Any]:
        """Check name and password; the refusal of the throttle becomes the form's error."""
        try:
            return super().clean()
        except DomainError as refusal:
            self.wait_s = int(refusal.params["retry_after_s"])
            raise ValidationError(refusal.detail, code=refusal.code.value) from refusal


class StaffSignInForm(SignInForm, AdminAuthenticationForm):
    """The sign-in form of the back office."""


class PasswordChangeForm(AdminPasswordChangeForm):
    """Changes a password. The throttle counts the old one: a stolen session must not guess it."""

    wait_s = 0

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request = request

    def save(self, commit: bool = True) -> User:
        """Store the new password; the user's other sessions and all sockets of sessions end."""
        user: User = super().save(commit=False)
        password_store(user)
        return user

    def clean_old_password(self) -> str:
        """Return the old password; a wrong one or a throttled attempt is an error of the form."""
        old_password: str = self.cleaned_data["old_password"]
        try:
            is_right = password_confirmed(self._request, self.user, old_password)
        except DomainError as refusal:
            self.wait_s = int(refusal.params["retry_after_s"])
            raise ValidationError(refusal.detail, code=refusal.code.value) from refusal
        if not is_right:
            text = self.error_messages["password_incorrect"]
            raise ValidationError(text, code="password_incorrect")
        return old_password


def answer_with_wait(response: HttpResponse) -> HttpResponse:
    """Return the page of a form, with status 429 and Retry-After after a throttled attempt."""
    if isinstance(response, TemplateResponse):
        wait_s = getattr((response.context_data or {}).get("form"), "wait_s", 0)
        if wait_s:
            response.status_code = 429
            response.headers["Retry-After"] = str(wait_s)
    return response
