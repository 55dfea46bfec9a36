"""Unlisting of a symbol: asks what happens to its orders and its market, and sends that."""

from collections.abc import Iterator
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from adminpanel.admin.actions import CommandActions
from exchange.domain.enums import SymbolState
from exchange.domain.errors import DomainError
from exchange.models import Symbol
from orders.markets.cancels import symbol_orders_cancel
from orders.markets.states import NOTE_LENGTH_MAX, symbol_state_request
from wallets.models import Reservation

KEEP: Final = "keep"
CANCEL: Final = "cancel"
ORDERS: Final = (
    (CANCEL, "Cancel every open and waiting order of everyone"),
    (KEEP, "Keep them: they trade with each other, their owners may cancel them"),
)
STATES: Final = (
    (SymbolState.CANCEL_ONLY.value, "Cancel-only: nothing trades, cancels are taken"),
    (SymbolState.HALT.value, "Halted: nothing trades, cancels are taken"),
    (KEEP, "As it is: what rests may still trade"),
)
COUNT_MAX: Final = 10_000


class UnlistForm(forms.Form):
    """Questions when a symbol is unlisted; the names must differ from the symbol's columns."""

    unlist_orders = forms.ChoiceField(
        label="Its orders", choices=ORDERS, initial=CANCEL, widget=forms.RadioSelect
    )
    unlist_state = forms.ChoiceField(
        label="Its market",
        choices=STATES,
        initial=SymbolState.CANCEL_ONLY.value,
        widget=forms.RadioSelect,
    )
    unlist_note = forms.CharField(
        label="Reason", max_length=NOTE_LENGTH_MAX, help_text="It is kept with the commands."
    )


class Unlisting(CommandActions):
    """Base of the symbols' admin: asks before a symbol is unlisted, then sends the answers."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Save the symbol; to unlist it takes the answers and the permission to halt."""
        symbol = self._unlisted_now(request, object_id)
        if symbol is not None:
            if not self.has_halt_permission(request):
                text = "To unlist stops a market: that takes the power to halt. Nothing was saved."
                self.message_user(request, text, messages.ERROR)
                request.method = "GET"  # show the form as it stands
            elif not UnlistForm(request.POST).is_valid():
                return self._ask(request, symbol)
        response: HttpResponse = super().changeform_view(
            request, object_id, form_url, extra_context
        )
        return response

    def _unlisted_now(self, request: HttpRequest, object_id: str | None) -> Symbol | None:
        """Return the listed symbol that this request unlists; None for other requests."""
        if request.method != "POST" or object_id is None or "is_listed" in request.POST:
            return None
        symbol = self.get_object(request, object_id)
        is_listed = symbol is not None and symbol.is_listed
        return symbol if is_listed and self.has_change_permission(request, symbol) else None

    def _ask(self, request: HttpRequest, symbol: Symbol) -> HttpResponse:
        is_answered = "unlist_orders" in request.POST
        orders = Reservation.objects.filter(symbol_id=symbol.pk)[:COUNT_MAX].count()
        context = {
            **self.admin_site.each_context(request),
            "title": f"Take {symbol.code} off the list",
            "opts": self.opts,
            "symbol": symbol,
            "orders": f"at least {orders}" if orders == COUNT_MAX else orders,
            "form": UnlistForm(request.POST if is_answered else None),
            "posted": list(_posted(request)),
        }
        return TemplateResponse(request, "admin/exchange/symbol/unlist.html", context)

    def unlisting_send(self, request: HttpRequest, symbol: Symbol) -> None:
        """Send the chosen commands after the commit, the state first: no order enters between."""
        form = UnlistForm(request.POST)
        assert form.is_valid(), "it was asked for before the save"
        chosen = form.cleaned_data
        transaction.on_commit(lambda: self._send(request, symbol, chosen))

    def _send(self, request: HttpRequest, symbol: Symbol, chosen: dict[str, str]) -> None:
        note, user_id = chosen["unlist_note"], request.user.pk
        try:
            if chosen["unlist_state"] != KEEP:
                state = SymbolState(chosen["unlist_state"])
                symbol_state_request(
                    symbol_id=symbol.pk, state=state, requested_by=user_id, note=note
                )
                self.sent(request, symbol, f"{state} is on its way to the engine.", note)
            if chosen["unlist_orders"] == CANCEL:
                symbol_orders_cancel(symbol.pk, requested_by=user_id, note=note)
                text = "the cancel of all orders is on its way to the engine."
                self.sent(request, symbol, text, note)
        except DomainError as error:
            text = f"it is unlisted, but this was not sent: {error.detail} Use the list's actions."
            self.refused(request, symbol, text)


def _posted(request: HttpRequest) -> Iterator[tuple[str, str]]:
    """Yield the fields of the symbol's form, to be posted again with the answers."""
    for name, values in request.POST.lists():
        if name != "csrfmiddlewaretoken" and not name.startswith("unlist_"):
            yield from ((name, value) for value in values)
