"""The back office's site: staff sign in and out like all users (exchange/signin)."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from exchange.access.ends import sign_out
from exchange.signin.forms import PasswordChangeForm, StaffSignInForm, answer_with_wait
from exchange.signin.wait_page import wait_answer


class BackOffice(AdminSite):
    """Django's admin site, behind the throttle of all sign-ins."""

    site_header = site_title = "Takas back office"
    login_form = StaffSignInForm
    login_template = "admin/sign_in.html"  # Django's template takes four times as long

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Sign staff in, or answer that the next attempt has to wait."""
        response = super().login(request, extra_context)
        form = (getattr(response, "context_data", None) or {}).get("form")
        wait_s = getattr(form, "wait_s", 0)
        return wait_answer(wait_s) if wait_s else response

    def logout(  # type: ignore[override]  # as in its supertype: a redirect is an answer too
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Sign staff out; the session ends together with its WebSockets."""
        if request.method == "POST":
            sign_out(request)
        return super().logout(request, extra_context)

    def password_change(  # type: ignore[override]  # a redirect is an answer too
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Change the own password, or answer that the next attempt has to wait."""
        request.current_app = self.name
        view = OwnPasswordView.as_view(
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        response = view(request)
        assert isinstance(response, HttpResponse)
        return answer_with_wait(response)


class OwnPasswordView(PasswordChangeView):
    """Sets the own password; the old one has to be given."""

    form_class = PasswordChangeForm

    def get_form_kwargs(self) -> dict[str, Any]:
        """Pass the request to the form, which the throttle needs."""
        return {**super().get_form_kwargs(), "request": self.request}
