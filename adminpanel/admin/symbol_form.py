"""Form of a symbol: refuses rules that the engine cannot follow, and partitions without one."""

from typing import Any, ClassVar

from django import forms

from adminpanel.admin.engines import START_IT, serves, silences_read, words_of
from adminpanel.admin.forms import PlainForm
from exchange.domain.units import PPM
from exchange.models import Symbol
from orders.models import Command


class SymbolForm(PlainForm):
    """Form of a symbol, with the partitions that an engine has served."""

    class Meta:
        model = Symbol
        fields: ClassVar[Any] = "__all__"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._silences = silences_read()
        if "partition_id" in self.fields:
            self.fields["partition_id"] = self._partition_field()

    def _partition_field(self) -> forms.TypedChoiceField:
        """Return the choice of known partitions, each with the state of its engine."""
        numbers = sorted({*self._silences, self.instance.partition_id})
        choices = [(number, f"{number} ({words_of(self._silences, number)})") for number in numbers]
        start = START_IT.format(id="%(value)s")
        return forms.TypedChoiceField(
            coerce=int,
            choices=choices,
            help_text="The engine that matches it. Another one: "
            f"{START_IT.format(id='N')}, then it can be chosen here.",
            error_messages={"invalid_choice": f"No engine serves partition %(value)s: {start}."},
        )

    def clean_partition_id(self) -> int:
        """Refuse a partition without an engine, and a move while commands wait for the old one."""
        chosen: int = self.cleaned_data["partition_id"]
        is_new = self.instance.pk is None
        if not is_new and chosen == self.initial.get("partition_id"):
            return chosen
        if not serves(self._silences, chosen):
            start = START_IT.format(id=chosen)
            raise forms.ValidationError(f"No engine serves partition {chosen}: {start}.")
        if not is_new and self._has_commands_waiting():
            raise forms.ValidationError(
                "Commands for this symbol still wait for the engine of its old partition."
            )
        return chosen

    def _has_commands_waiting(self) -> bool:
        waiting = Command.objects.filter(engine_seq__isnull=True, symbol_id=self.instance.pk)
        return waiting.exists()

    def clean(self) -> dict[str, Any]:
        """Refuse a band of 100 % or more, and interruptions without a band."""
        values: dict[str, Any] = super().clean() or {}
        band_ppm = values.get("band_ppm") or 0
        if band_ppm >= PPM:
            self.add_error("band_ppm", f"A band is narrower than the price: below {PPM}.")
        if values.get("interruption_limit_s") and not band_ppm:
            self.add_error("interruption_limit_s", "Without a price band nothing interrupts.")
        return values
