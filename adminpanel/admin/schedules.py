"""Schedules of market states: their form, checked for clashes, and their next occurrences."""

from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from adminpanel.admin.actions import HALT_PERMISSION
from adminpanel.admin.forms import PlainAdmin, PlainForm
from exchange.domain.enums import SymbolState
from orders.markets.schedules import Schedule
from orders.models import ScheduledState

WEEKDAYS: Final = (
    ("1", "Monday"), ("2", "Tuesday"), ("3", "Wednesday"), ("4", "Thursday"), ("5", "Friday"),
    ("6", "Saturday"), ("7", "Sunday"),
)  # fmt: skip
COMING_SHOWN: Final = 3
# The form has two ways to name a day; exactly one must be filled in.
ONE_OF_TWO: Final = "Choose weekdays, or a date: one of the two."


def schedule_of(row: ScheduledState) -> Schedule:
    """Return the row as the periodic task reads it."""
    return Schedule(
        row.pk or 0, row.symbol_id, row.state, row.at, row.weekdays, row.on_date, row.last_due_at
    )


class ScheduleForm(PlainForm):
    """Form of a schedule, with weekdays as boxes; closing for ever is never left to a clock."""

    weekdays = forms.MultipleChoiceField(
        choices=WEEKDAYS, widget=forms.CheckboxSelectMultiple, required=False
    )
    state = forms.ChoiceField(
        choices=[(one.value, one.value) for one in SymbolState if one is not SymbolState.CLOSED]
    )

    class Meta:
        model = ScheduledState
        fields: ClassVar[Any] = ("symbol", "state", "at", "weekdays", "on_date", "is_active")

    def clean_weekdays(self) -> str:
        """Return the weekdays as sorted digits, such as "135"."""
        return "".join(sorted(self.cleaned_data["weekdays"]))

    def clean(self) -> dict[str, Any]:
        """Require weekdays or a future date, and no clash with another active schedule."""
        values: dict[str, Any] = super().clean() or {}
        weekdays, on_date = values.get("weekdays"), values.get("on_date")
        if "on_date" in values and bool(weekdays) == bool(on_date):
            self.add_error("weekdays", ONE_OF_TWO)
        at = values.get("at")
        if on_date and at and values.get("is_active"):
            moment = datetime.combine(on_date, at, UTC)
            if moment <= datetime.now(UTC):
                self.add_error("on_date", f"{spoken(moment)} is over.")
        if not self.errors:
            self._clash_check(values)
        return values

    def _clash_check(self, values: dict[str, Any]) -> None:
        """Refuse a second state at the same moment: which state wins would be chance."""
        others = ScheduledState.objects.filter(
            symbol=values["symbol"], at=values["at"], is_active=True
        ).exclude(pk=self.instance.pk)
        for other in others if values.get("is_active") else ():
            if days_meet(values, other):
                raise forms.ValidationError(f"At that moment there is another one: {other}.")


def days_meet(values: dict[str, Any], other: ScheduledState) -> bool:
    """Return whether the form's days and another schedule's have a day in common."""
    theirs = schedule_of(other)
    if values["on_date"]:
        return theirs.occurs_on(values["on_date"])
    if other.on_date:
        return str(other.on_date.isoweekday()) in values["weekdays"]
    return bool(set(values["weekdays"]) & set(other.weekdays))


def spoken(moment: datetime) -> str:
    """Return a UTC moment as text for staff."""
    return f"{moment:%a %d %b %Y, %H:%M:%S} UTC"


@admin.register(ScheduledState)
class ScheduledStateAdmin(PlainAdmin):
    """Schedules of market states; planning them takes the permission to halt markets, too."""

    form = ScheduleForm
    list_display = ("symbol", "state", "at", "days", "is_active", "next_occurrences")
    list_filter = ("is_active", "state", "symbol")
    list_select_related = ("symbol",)
    readonly_fields = ("next_occurrences", "last_due_at")
    ordering = ("symbol", "at")

    @admin.display(description="days")
    def days(self, row: ScheduledState) -> str:
        """Show the weekdays, or the date."""
        if row.on_date:
            return f"once, {row.on_date:%a %d %b %Y}"
        names = dict(WEEKDAYS)
        return ", ".join(names[digit] for digit in row.weekdays)

    @admin.display(description="next occurrences (UTC)")
    def next_occurrences(self, row: ScheduledState) -> str:
        """Show the next COMING_SHOWN occurrences in UTC."""
        if not row.pk:
            return "They are shown when it is saved."
        if not row.is_active:
            return "none: it is not active"
        coming = schedule_of(row).coming(datetime.now(UTC), COMING_SHOWN)
        return "; ".join(map(spoken, coming)) or "none: it is over"

    def save_model(
        self, request: HttpRequest, obj: ScheduledState, form: Any, change: bool
    ) -> None:
        """Save the schedule from now on: occurrences before the save are not made up for.

        Only changed columns are written: the periodic task may have marked an occurrence.
        """
        obj.last_due_at = datetime.now(UTC)
        if change:
            obj.save(update_fields=[*form.changed_data, "last_due_at"])
        else:
            super().save_model(request, obj, form, change)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Require the permission to halt markets, too."""
        return super().has_add_permission(request) and may_halt(request)

    def has_change_permission(
        self, request: HttpRequest, obj: ScheduledState | None = None
    ) -> bool:
        """Require the permission to halt markets, too."""
        return super().has_change_permission(request, obj) and may_halt(request)

    def has_delete_permission(
        self, request: HttpRequest, obj: ScheduledState | None = None
    ) -> bool:
        """Require the permission to halt markets, too."""
        return super().has_delete_permission(request, obj) and may_halt(request)


def may_halt(request: HttpRequest) -> bool:
    """Return whether this user may halt markets."""
    return request.user.has_perm(HALT_PERMISSION)
