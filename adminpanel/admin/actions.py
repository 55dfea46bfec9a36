"""Actions that send commands to the engine: who may, and for which reason."""

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ActionForm
from django.http import HttpRequest

from adminpanel.admin.policy import OfficeAdmin
from orders.markets.states import NOTE_LENGTH_MAX

HALT_PERMISSION: Final = "exchange.halt_symbol"


class NoteForm(ActionForm):
    """Beside the action: why. It is kept with the command."""

    note = forms.CharField(required=False, max_length=NOTE_LENGTH_MAX, label="Reason")


class CommandActions(OfficeAdmin):
    """A list whose actions are commands. They declare `permissions=["halt"]`."""

    action_form = NoteForm

    def has_halt_permission(self, request: HttpRequest) -> bool:
        """Whoever may halt a market may also cancel its orders: both are for emergencies."""
        return request.user.has_perm(HALT_PERMISSION)

    def reason_of(self, request: HttpRequest) -> str:
        """The reason that was given; without one the user is told, and it is empty."""
        note: str = request.POST.get("note", "").strip()[:NOTE_LENGTH_MAX]
        if not note:
            self.message_user(request, "Give a reason: nothing was sent.", messages.ERROR)
        return note

    def sent(self, request: HttpRequest, subject: Any, text: str, note: str) -> None:
        """Put on record, and tell, that a command about `subject` is on its way."""
        self.log_change(request, subject, f"{text} Reason: {note}")
        self.message_user(request, f"{subject}: {text}")

    def refused(self, request: HttpRequest, subject: Any, why: str) -> None:
        """Tell that nothing was sent about `subject`."""
        self.message_user(request, f"{subject}: {why}", messages.ERROR)
