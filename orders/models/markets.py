"""Market states that are due by the clock."""

from django.db import models
from django.db.models import Q

from exchange.domain.enums import (
    SymbolState,
)
from exchange.models import word_check


class ScheduledState(models.Model):
    """A market state that a symbol enters by the clock, in UTC: on some weekdays, or on one day."""

    symbol = models.ForeignKey("exchange.Symbol", on_delete=models.CASCADE)
    state = models.CharField(max_length=16, choices=[(state, state) for state in SymbolState])
    at = models.TimeField(help_text="Time of day, UTC.")
    weekdays = models.CharField(
        max_length=7, blank=True, help_text="Digits: 1 is Monday, 7 Sunday. Empty with a date."
    )
    on_date = models.DateField(null=True, blank=True, help_text="Once, on this day.")
    is_active = models.BooleanField(default=True)
    last_due_at = models.DateTimeField(null=True, editable=False)  # sent or passed last

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(on_date__isnull=True, weekdays__regex=r"^[1-7]+$")
                | Q(on_date__isnull=False, weekdays=""),
                name="scheduledstate_weekdays_or_date",
            ),
            models.CheckConstraint(
                condition=~Q(state=SymbolState.CLOSED), name="scheduledstate_never_closed"
            ),
            word_check("state", SymbolState, "scheduledstate_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.state} at {self.at} UTC"
