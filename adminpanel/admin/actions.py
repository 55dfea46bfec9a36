"""Base of actions that send commands to the engine: permission, reason and record."""

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ActionForm
from django.http import HttpRequest

from adminpanel.admin.policy import OfficeAdmin
from orders.markets.states import NOTE_LENGTH_MAX

HALT_PERMISSION: Final = "exchange.halt_symbol"


class NoteForm(ActionForm):
    """The reason, beside the action; it is stored with the command."""

    note = forms.CharField(required=False, max_length=NOTE_LENGTH_MAX, label="Reason")


class CommandActions(OfficeAdmin):
    """A list whose actions are commands; the actions declare `permissions=["halt"]`."""

    action_form = NoteForm

    def has_halt_permission(self, request: HttpRequest) -> bool:
        """Return whether this user may halt markets and cancel orders: both are for emergencies."""
        return request.user.has_perm(HALT_PERMISSION)

    def reason_of(self, request: HttpRequest) -> str:
        """Return the given reason; without a reason, tell the user and return an empty text."""
        note: str = request.POST.get("note", "").strip()[:NOTE_LENGTH_MAX]
        if not note:
            self.message_user(request, "Give a reason: nothing was sent.", messages.ERROR)
        return note

    def sent(self, request: HttpRequest, subject: Any, text: str, note: str) -> None:
        """Record, and tell the user, what was sent or done about `subject`."""
        self.log_change(request, subject, f"{text} Reason: {note}")
        self.message_user(request, f"{subject}: {text}")

    def refused(self, request: HttpRequest, subject: Any, why: str) -> None:
        """Tell the user why nothing was sent about `subject`."""
        self.message_user(request, f"{subject}: {why}", messages.ERROR)
