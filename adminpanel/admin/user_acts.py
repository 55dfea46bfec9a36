"""Acts of staff on a user, from the user's page: each has a form with a reason, and a service."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django import forms

from adminpanel.admin.forms import PlainDecimalField
from exchange.access.ends import key_revoke, sessions_end
from exchange.domain.units import MONEY_DIGITS_MAX, MONEY_SCALE_MAX, plain
from exchange.models import ApiKey, Asset, User
from orders.markets.states import NOTE_LENGTH_MAX
from orders.markets.suspensions import (
    user_deactivate,
    user_reactivate,
    user_suspend,
    user_unsuspend,
)
from wallets.funding import KEY_PATTERN, funds_move

SUSPEND_PERMISSION: Final = "exchange.suspend_user"
ACCESS_PERMISSION: Final = "exchange.end_access"
FUNDS_PERMISSION: Final = "wallets.fund_account"
CANCEL, KEEP = "cancel", "keep"


class ReasonForm(forms.Form):
    """The reason of an act, which is recorded with it; `user` is the subject of the act."""

    reason = forms.CharField(max_length=NOTE_LENGTH_MAX)

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        self.user = user
        super().__init__(*args, **kwargs)


class BarForm(ReasonForm):
    """Form of an act that keeps the user from trading: it asks what happens to their orders."""

    orders = forms.ChoiceField(
        choices=[(CANCEL, "Cancel all of their orders"), (KEEP, "Keep them: they go on trading")],
        initial=CANCEL,
        widget=forms.RadioSelect,
    )


class AccessForm(ReasonForm):
    """Form to end the user's access: all sessions, and each live key."""

    sessions = forms.BooleanField(
        required=False, initial=True, label="End all sessions, on every device"
    )
    keys = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Revoke these API keys"
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        live = ApiKey.objects.filter(user=user, revoked_at=None).order_by("pk")
        chosen = self.fields["keys"]
        assert isinstance(chosen, forms.MultipleChoiceField)
        chosen.choices = [(key.key_id, f"{key.key_id} {key.label}") for key in live]
        chosen.initial = [key.key_id for key in live]

    def clean(self) -> dict[str, Any]:
        """Require at least the sessions or one key."""
        values: dict[str, Any] = super().clean() or {}
        if not values.get("sessions") and not values.get("keys"):
            raise forms.ValidationError("Choose the sessions, a key, or both.")
        return values


class FundsForm(ReasonForm):
    """Form of a credit or debit; its hidden key makes a form that is sent twice count once."""

    direction = forms.ChoiceField(choices=[("credit", "Credit"), ("debit", "Debit")])
    asset = forms.ModelChoiceField(Asset.objects.all(), to_field_name="code")
    amount = PlainDecimalField(max_digits=MONEY_DIGITS_MAX, decimal_places=MONEY_SCALE_MAX)
    key = forms.RegexField(
        KEY_PATTERN,
        widget=forms.HiddenInput,
        initial=lambda: f"office-{secrets.token_hex(8)}",
    )

    def clean_amount(self) -> Decimal:
        """Require an amount above 0; `direction` gives its sign."""
        amount: Decimal = self.cleaned_data["amount"]
        if amount <= 0:
            raise forms.ValidationError(
                "An amount above 0; whether it comes or goes is said above."
            )
        return amount


Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Act:
    """An act of staff on a user: its page, permission, form, condition and service.

    `perform` takes the user, the form's values and the actor's id. It returns the text that staff
    are told, and raises DomainError where nothing was done.
    """

    name: str
    title: str
    permission: str
    form: type[ReasonForm]
    applies: Callable[[User], bool]
    perform: Callable[[User, Values, int], str]

    @property
    def bars(self) -> bool:
        """Whether the act keeps the user from trading."""
        return issubclass(self.form, BarForm)


def _suspend(user: User, values: Values, actor_id: int) -> str:
    sent = user_suspend(
        user_id=user.pk,
        actor_id=actor_id,
        reason=values["reason"],
        cancels=values["orders"] == CANCEL,
    )
    return f"suspended; {_orders_text(values, sent)}"


def _deactivate(user: User, values: Values, actor_id: int) -> str:
    sent = user_deactivate(
        user_id=user.pk,
        actor_id=actor_id,
        reason=values["reason"],
        cancels=values["orders"] == CANCEL,
    )
    return f"deactivated; {_orders_text(values, sent)}"


def _orders_text(values: Values, sent: int) -> str:
    if values["orders"] == KEEP:
        return "their orders stay"
    return f"cancels of all their orders are on their way ({sent} symbols)"


def _unsuspend(user: User, values: Values, actor_id: int) -> str:
    user_unsuspend(user_id=user.pk, actor_id=actor_id, reason=values["reason"])
    return "may trade again"


def _reactivate(user: User, values: Values, actor_id: int) -> str:
    user_reactivate(user_id=user.pk, actor_id=actor_id, reason=values["reason"])
    return "may sign in again"


def _end_access(user: User, values: Values, actor_id: int) -> str:
    for key_id in values["keys"]:
        key_revoke(user_id=user.pk, key_id=key_id, reason=values["reason"])
    if values["sessions"]:
        sessions_end(user.pk, reason=values["reason"])
    ended = "their sessions ended" if values["sessions"] else "their sessions stay"
    return f"{len(values['keys'])} keys revoked, {ended}"


def _move_funds(user: User, values: Values, actor_id: int) -> str:
    sign = 1 if values["direction"] == "credit" else -1
    moved = funds_move(
        user_id=user.pk,
        asset=values["asset"].code,
        amount=sign * values["amount"],
        reason=values["reason"],
        key=values["key"],
        actor_id=actor_id,
    )
    done = f"{values['direction']}ed" if moved.is_new else "was done before, once"
    return f"{done}: {plain(moved.available)} {values['asset'].code} available now"


def _always(_: User) -> bool:
    return True


ACTS: Final = (
    Act(
        "suspend",
        "Suspend",
        SUSPEND_PERMISSION,
        BarForm,
        lambda user: not user.is_suspended,
        _suspend,
    ),
    Act(
        "unsuspend",
        "End the suspension",
        SUSPEND_PERMISSION,
        ReasonForm,
        lambda user: user.is_suspended,
        _unsuspend,
    ),
    Act(
        "deactivate",
        "Deactivate",
        SUSPEND_PERMISSION,
        BarForm,
        lambda user: user.is_active,
        _deactivate,
    ),
    Act(
        "reactivate",
        "Reactivate",
        SUSPEND_PERMISSION,
        ReasonForm,
        lambda user: not user.is_active,
        _reactivate,
    ),
    Act(
        "access",
        "End sessions and keys",
        ACCESS_PERMISSION,
        AccessForm,
        _always,
        _end_access,
    ),
    Act("funds", "Credit or debit", FUNDS_PERMISSION, FundsForm, _always, _move_funds),
)
