"""Symbols, and halting them. A halt is a command to the engine, never an UPDATE."""

from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from exchange.domain.enums import SymbolState
from exchange.domain.errors import DomainError
from exchange.domain.units import plain
from exchange.models import Symbol
from exchange.selectors import catalogue_forget
from orders.market_states import symbol_state_request
from orders.models import EnginePartition, Order

HALT_PERMISSION: Final = "exchange.halt_symbol"
LOOK_MS: Final = 1_000
# What integers in the engine, on orders and in reservations mean.
GRID: Final = ("code", "base", "quote", "tick", "lot", "partition_id")


class NoteForm(ActionForm):
    """Beside the action: why. It is kept with the command."""

    note = forms.CharField(required=False, max_length=200, label="Reason")


@admin.register(Symbol)
class SymbolAdmin(admin.ModelAdmin):
    list_display = ("code", "state", "is_listed", "price_step", "size_step", "band_ppm", "position")
    list_filter = ("state", "is_listed")
    list_select_related = ("base", "quote")
    search_fields = ("code",)
    actions = ("halt", "resume")
    action_form = NoteForm

    @admin.display(description="tick", ordering="tick")
    def price_step(self, symbol: Symbol) -> str:
        return plain(symbol.tick)

    @admin.display(description="lot", ordering="lot")
    def size_step(self, symbol: Symbol) -> str:
        return plain(symbol.lot)

    def get_readonly_fields(
        self, request: HttpRequest, obj: Symbol | None = None
    ) -> tuple[str, ...]:
        fixed = GRID if obj is not None and has_orders(obj) else ()
        return ("state", *fixed)  # the engine's results alone write the state

    def has_delete_permission(self, request: HttpRequest, obj: Symbol | None = None) -> bool:
        return False  # unlist it: orders and trades name it for ever

    def has_halt_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(HALT_PERMISSION)

    def save_model(self, request: HttpRequest, obj: Symbol, form: Any, change: bool) -> None:
        """Write only what the form may change: the engine may have moved the state meanwhile."""
        if change:
            obj.save(update_fields=[name for name in form.changed_data if name != "state"])
        else:
            super().save_model(request, obj, form, change)
        transaction.on_commit(catalogue_forget)

    @admin.action(description="Halt trading (needs a reason)", permissions=["halt"])
    def halt(self, request: HttpRequest, queryset: QuerySet[Symbol]) -> None:
        self._request_state(request, queryset, SymbolState.HALT)

    @admin.action(description="Resume trading (needs a reason)", permissions=["halt"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Symbol]) -> None:
        self._request_state(request, queryset, SymbolState.OPEN)

    def _request_state(
        self, request: HttpRequest, queryset: QuerySet[Symbol], state: SymbolState
    ) -> None:
        note = request.POST.get("note", "").strip()
        if not note:
            self.message_user(request, "Give a reason: nothing was sent.", messages.ERROR)
            return
        for symbol in queryset:
            try:
                command_id = symbol_state_request(
                    symbol_id=symbol.pk, state=state, requested_by=request.user.pk, note=note[:200]
                )
            except DomainError as error:
                self.message_user(request, f"{symbol}: {error.detail}", messages.ERROR)
            else:
                text = f"{symbol}: {state} is on its way to the engine (command {command_id})."
                self.log_change(request, symbol, f"Requested {state}: {note}")
                self.message_user(request, text)


def has_orders(symbol: Symbol) -> bool:
    """Whether orders of this symbol exist. Not known within LOOK_MS counts as yes."""
    sequences = EnginePartition.objects.values_list("feed_sequences", flat=True)
    if any(str(symbol.pk) in known for known in sequences):
        return True  # its book was touched: the quick answer for all symbols in use
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {LOOK_MS:d}")
            found = Order.objects.filter(symbol=symbol).exists()
            cursor.execute("SET LOCAL statement_timeout = DEFAULT")
            return found
    except OperationalError:
        return True
