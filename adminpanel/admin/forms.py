"""Base of the forms of the back office: numbers in one notation, broken constraints in sentences.

A number is plain digits, with a dot before the decimals: "1,000", "1e3" and other scripts' digits
are refused, as in the API. A broken constraint of the database is told in a sentence at its field.
"""

import re
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from adminpanel.admin.policy import OfficeAdmin
from exchange.domain.units import percent_text, plain

_DECIMAL: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,18})?", re.ASCII).fullmatch
_WHOLE: Final = re.compile(r"[0-9]{1,19}", re.ASCII).fullmatch
_VIOLATED: Final = re.compile(r"Constraint “(\w+)” is violated\.").fullmatch
DECIMAL_RULE: Final = (
    "Write plain digits with a dot before the decimals, such as 1000 or 0.5: no spaces, commas,"
    " signs or exponents."
)
WHOLE_RULE: Final = "Write plain digits, such as 1000: no spaces, commas, signs or exponents."

# Constraint -> (field, sentence); field None means the form as a whole.
SENTENCES: Final[dict[str, tuple[str | None, str]]] = {
    "tier_one_default": ("is_default", "Another tier is the default: there can be one."),
    "asset_scale_max": ("scale", "An asset has at most 18 decimal places."),
    "symbol_steps_positive": ("tick", "Tick and lot must be above 0."),
    "symbol_price_range": (
        "price_max",
        "The lowest price must be above 0, and the highest not below it.",
    ),
    "symbol_quantity_range": (
        "quantity_max",
        "The smallest quantity must be above 0, and the largest not below it.",
    ),
    "symbol_state_known": ("state", "There is no such market state."),
    "symbol_notional_not_negative": (
        "notional_min",
        "The smallest order value must not be below 0.",
    ),
    "symbol_grid_fixed": (
        "tick",
        "The grid (assets, tick, lot, partition) can change only while the symbol is halted, has no"
        " live order and never traded.",
    ),
    "asset_scale_fixed": ("scale", "The asset is held or traded: its scale cannot change."),
    "fee_schedule_one": ("symbol", "There is a row for this tier and this symbol already."),
    "fee_schedule_range": (
        "maker_ppm",
        "The maker fee must not be above the taker fee, and the taker fee must be below 100 %:"
        " what an order reserves covers the taker fee.",
    ),
    "brand_one_default": ("is_default", "Another brand is the default: there can be one."),
    "order_limit_one": ("symbol", "There are limits for this user on this symbol already."),
    "scheduledstate_weekdays_or_date": ("weekdays", "Choose weekdays, or a date: one of the two."),
    "scheduledstate_state_known": ("state", "There is no such market state."),
    "user_self_trade_known": ("self_trade_prevention", "There is no such mode."),
    "scheduledstate_never_closed": ("state", "Closing for ever is never left to a clock."),
}
UNKNOWN_SENTENCE: Final = (
    "The database refused this: it contradicts what is there. Nothing was changed."
)


class PlainDecimalField(forms.DecimalField):
    """A decimal in plain digits, shown without the trailing zeros of its column."""

    widget = forms.TextInput(attrs={"inputmode": "decimal", "class": "vTextField"})

    def clean(self, value: Any) -> Any:
        """Refuse other notations than plain digits with a dot."""
        text = "" if value is None else str(value).strip()
        if text and _DECIMAL(text) is None:
            raise ValidationError(DECIMAL_RULE)
        return super().clean(text)

    def prepare_value(self, value: Any) -> Any:
        """Show a decimal in plain notation."""
        return plain(value) if isinstance(value, Decimal) else value


class PlainIntegerField(forms.IntegerField):
    """A whole number in plain digits."""

    widget = forms.TextInput(attrs={"inputmode": "numeric", "class": "vIntegerField"})

    def clean(self, value: Any) -> Any:
        """Refuse other notations than plain digits."""
        text = "" if value is None else str(value).strip()
        if text and _WHOLE(text) is None:
            raise ValidationError(WHOLE_RULE)
        return super().clean(text)


class PlainForm(forms.ModelForm):
    """A form that tells each broken constraint at its field, by SENTENCES."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, field in self.fields.items():
            if name.endswith("_ppm"):
                now = getattr(self.instance, name) or 0
                field.help_text += f" Now {percent_text(now)} %; 10000 is 1 %."

    def _update_errors(self, errors: ValidationError) -> None:
        """Move broken constraints to their fields; Django names them on the form as a whole."""
        general = errors.error_dict.pop(NON_FIELD_ERRORS, [])
        named = [(error, _VIOLATED(str(error.message))) for error in general]
        others = [error for error, match in named if match is None]
        if others:
            errors.error_dict[NON_FIELD_ERRORS] = others
        super()._update_errors(errors)  # type: ignore[misc]  # the stubs lack this method
        for _, match in named:
            if match is not None:
                field, sentence = SENTENCES.get(match[1], (None, UNKNOWN_SENTENCE))
                self.add_error(field if field in self.fields else None, sentence)


class PlainAdmin(OfficeAdmin):
    """Base of admins whose rows staff may edit."""

    form = PlainForm
    formfield_overrides = {
        models.DecimalField: {"form_class": PlainDecimalField},
        models.PositiveIntegerField: {"form_class": PlainIntegerField},
        models.PositiveSmallIntegerField: {"form_class": PlainIntegerField},
    }

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Tell in a sentence what only the database can refuse: a concurrent save, a trigger."""
        try:
            response: HttpResponse = super().changeform_view(
                request, object_id, form_url, extra_context
            )
        except IntegrityError as error:
            self.message_user(request, sentence_of(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return response


def sentence_of(error: IntegrityError) -> str:
    """Return the sentence of a constraint that the database found broken."""
    diagnosis = getattr(error.__cause__, "diag", None)
    name = getattr(diagnosis, "constraint_name", None) or ""
    return SENTENCES.get(name, (None, UNKNOWN_SENTENCE))[1]
