"""Symbols: market states and rules change by commands to the engine, never by an UPDATE."""

from collections.abc import Callable
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html

from adminpanel.admin.actions import CommandActions
from adminpanel.admin.engines import alarms, serves, silences_read, words_of
from adminpanel.admin.fees import fees_of_symbol
from adminpanel.admin.forms import PlainAdmin
from adminpanel.admin.market_now import markets_read
from adminpanel.admin.symbol_form import SymbolForm
from adminpanel.admin.unlisting import Unlisting
from adminpanel.admin.visibility import brands_by_symbol, shown_words
from exchange.domain.enums import SymbolState
from exchange.domain.errors import DomainError
from exchange.domain.units import percent_text, plain
from exchange.models import Symbol
from exchange.selectors import catalogue_forget
from exchange.web.brands import brands_forget
from orders.markets.cancels import symbol_orders_cancel
from orders.markets.rules import symbol_rules_send
from orders.markets.states import symbol_state_request
from orders.models import EnginePartition, Order

LOOK_MS: Final = 1_000
SAVED_NOTE: Final = "saved in the back office"
# These fields give the integers in the engine, on orders and in reservations their meaning.
GRID: Final = ("code", "base", "quote", "tick", "lot", "partition_id")

# Action, state, its text for staff. Closing has an action of its own, which asks twice.
STATE_ACTIONS: Final = (
    ("halt", SymbolState.HALT, "Halt trading"),
    ("resume", SymbolState.OPEN, "Open, or resume, trading"),
    ("pre_open", SymbolState.PRE_OPEN, "Pre-open: gather orders without trading"),
    ("auction", SymbolState.AUCTION, "Auction: gather orders for one price"),
    ("auction_cutoff", SymbolState.AUCTION_CUTOFF, "Auction cut-off: no cancels from now on"),
    ("post_only", SymbolState.POST_ONLY, "Post-only: take only orders that rest"),
    ("cancel_only", SymbolState.CANCEL_ONLY, "Cancel-only: take only cancels"),
)

Action = Callable[["SymbolAdmin", HttpRequest, QuerySet[Symbol]], None]


def state_action(name: str, state: SymbolState, text: str) -> Action:
    """Return the admin action that requests a market state."""

    @admin.action(description=f"{text} (needs a reason)", permissions=["halt"])
    def act(model_admin: "SymbolAdmin", request: HttpRequest, queryset: QuerySet[Symbol]) -> None:
        note = model_admin.reason_of(request)
        if note:
            model_admin.request_state(request, queryset, state, note)

    act.__name__ = name
    return act


@admin.register(Symbol)
class SymbolAdmin(Unlisting, PlainAdmin):
    """Symbols, with their markets and engines as they are now."""

    form = SymbolForm
    list_display = (
        "code", "state", "engine", "market_now", "is_listed", "shown_on", "steps",
        "band", "position",
    )  # fmt: skip
    list_filter = ("state", "is_listed")
    list_select_related = ("base", "quote")
    search_fields = ("code",)
    actions = (
        *(state_action(*parts) for parts in STATE_ACTIONS),
        "close_for_ever",
        "cancel_orders",
    )
    fieldsets = (
        (None, {"fields": ("code", "state", "is_listed", "shown_on", "position")}),
        ("Grid", {"fields": ("base", "quote", "tick", "lot", "partition_id")}),
        (
            "Orders",
            {
                "fields": (
                    "price_min", "price_max", "quantity_min", "quantity_max", "notional_min",
                    "slippage_ppm", "open_orders_max", "stop_orders_max",
                ),
            },
        ),
        (
            "Price band and interruptions",
            {
                "fields": (
                    "band_ppm", "band_both_sides", "band_move_ppm", "band_move_after_s",
                    "interruption_limit_s", "interruption_pause_s", "interruption_auction_s",
                ),
                "description": "The engine is told when this is saved.",
            },
        ),
        ("Fees", {"fields": ("fees",)}),
    )  # fmt: skip

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Read markets, engines and brands once for all symbols of the page."""
        changelist = super().get_changelist_instance(request)
        symbols = list(changelist.result_list)
        markets = markets_read([symbol.code for symbol in symbols])
        silences, shown = silences_read(), brands_by_symbol()
        for symbol in symbols:
            symbol.market_words = markets.get(symbol.code, "")
            symbol.served = serves(silences, symbol.partition_id)
            symbol.engine_words = words_of(silences, symbol.partition_id)
            symbol.shown_words = shown_words(symbol, shown)
        changelist.result_list = symbols
        return changelist

    @admin.display(description="market now")
    def market_now(self, symbol: Any) -> str:
        """Show the market's newest state frame in words."""
        return str(symbol.market_words)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, with alarms for symbols without an engine."""
        if request.method == "GET":
            self._alarm(request, Symbol.objects.all())
        return super().changelist_view(request, extra_context)

    def render_change_form(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        """Show the form, with an alarm where the symbol has no engine."""
        obj = options.get("obj")
        if request.method == "GET" and obj is not None:
            self._alarm(request, Symbol.objects.filter(pk=obj.pk))
        return super().render_change_form(request, *args, **options)

    def _alarm(self, request: HttpRequest, symbols: QuerySet[Symbol]) -> None:
        """Show an alarm for each partition of the symbols that has no engine."""
        placed = symbols.values_list("code", "partition_id")
        for text in alarms(placed, silences_read()):
            self.message_user(request, text, messages.ERROR)

    @admin.display(description="engine")
    def engine(self, symbol: Any) -> str:
        """Show the partition and the state of its engine."""
        words = f"{symbol.partition_id}: {symbol.engine_words}"
        if symbol.served:
            return words
        return format_html('<strong class="errornote">{}</strong>', words)

    @admin.display(description="shown on")
    def shown_on(self, symbol: Any) -> str:
        """Show the brands on which customers find the symbol."""
        if hasattr(symbol, "shown_words"):
            return str(symbol.shown_words)
        return shown_words(symbol, brands_by_symbol())

    @admin.display(description="band", ordering="band_ppm")
    def band(self, symbol: Symbol) -> str:
        return f"{percent_text(symbol.band_ppm)} %" if symbol.band_ppm else "none"

    @admin.display(description="effective fees")
    def fees(self, symbol: Symbol) -> str:
        return fees_of_symbol(symbol)

    @admin.display(description="tick / lot", ordering="tick")
    def steps(self, symbol: Symbol) -> str:
        return f"{plain(symbol.tick)} / {plain(symbol.lot)}"

    @admin.display(description="tick", ordering="tick")
    def price_step(self, symbol: Symbol) -> str:
        return plain(symbol.tick)

    @admin.display(description="lot", ordering="lot")
    def size_step(self, symbol: Symbol) -> str:
        return plain(symbol.lot)

    def get_readonly_fields(
        self, request: HttpRequest, obj: Symbol | None = None
    ) -> tuple[str, ...]:
        """Fix the state, which only the engine's results write, and the grid of a symbol in use."""
        shown = ("state", "shown_on", "fees")
        if obj is None or not has_orders(obj):
            return shown
        return (*shown, *GRID, "price_step", "size_step")

    def get_fieldsets(self, request: HttpRequest, obj: Symbol | None = None) -> Any:
        """Show a fixed grid without the trailing zeros of its columns."""
        fixed = GRID[1:] if "tick" in self.get_readonly_fields(request, obj) else ()
        steps = {"tick": "price_step", "lot": "size_step"}
        words = {"fields": tuple(steps.get(name, name) for name in fixed)}
        return [
            (name, words if fixed and name == "Grid" else options)
            for name, options in super().get_fieldsets(request, obj)
        ]

    def has_delete_permission(self, request: HttpRequest, obj: Symbol | None = None) -> bool:
        return False  # orders and trades name it for ever: unlist it instead

    def save_model(self, request: HttpRequest, obj: Symbol, form: Any, change: bool) -> None:
        """Write changed fields only: the engine may have changed the state meanwhile."""
        if change:
            obj.save(update_fields=[name for name in form.changed_data if name != "state"])
            if "is_listed" in form.changed_data and not obj.is_listed:
                self.unlisting_send(request, obj)
        else:
            super().save_model(request, obj, form, change)
        transaction.on_commit(catalogue_forget)
        transaction.on_commit(brands_forget)
        transaction.on_commit(lambda: rules_tell(self, request, obj))

    @admin.action(
        description="Close for ever: ends every order (asks once more)", permissions=["halt"]
    )
    def close_for_ever(
        self, request: HttpRequest, queryset: QuerySet[Symbol]
    ) -> HttpResponse | None:
        """Close the symbols after a page that explains it and asks staff to type their codes."""
        note = self.reason_of(request)
        if not note:
            return None
        codes = {symbol.code for symbol in queryset}
        typed = set(request.POST.get("codes", "").upper().split())
        if codes and typed == codes:
            self.request_state(request, queryset, SymbolState.CLOSED, note)
            return None
        if typed:
            self.message_user(request, "Other codes were typed: nothing was sent.", messages.ERROR)
        context = {
            **self.admin_site.each_context(request),
            "title": "Close for ever",
            "opts": self.opts,
            "symbols": queryset,
            "note": note,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/exchange/symbol/close.html", context)

    @admin.action(
        description="Cancel all orders of everyone (needs a reason)", permissions=["halt"]
    )
    def cancel_orders(self, request: HttpRequest, queryset: QuerySet[Symbol]) -> None:
        """Cancel all orders of everyone in the selected symbols."""
        note = self.reason_of(request)
        for symbol in queryset if note else ():
            try:
                symbol_orders_cancel(symbol.pk, requested_by=request.user.pk, note=note)
            except DomainError as error:
                self.refused(request, symbol, error.detail)
            else:
                text = "the cancel of all orders is on its way to the engine."
                self.sent(request, symbol, text, note)

    def request_state(
        self, request: HttpRequest, queryset: QuerySet[Symbol], state: SymbolState, note: str
    ) -> None:
        """Request a state for each symbol, and tell the outcome."""
        for symbol in queryset:
            try:
                command_id = symbol_state_request(
                    symbol_id=symbol.pk, state=state, requested_by=request.user.pk, note=note
                )
            except DomainError as error:
                self.refused(request, symbol, error.detail)
            else:
                text = f"{state} is on its way to the engine (command {command_id})."
                self.sent(request, symbol, text, note)


def rules_tell(model_admin: CommandActions, request: HttpRequest, symbol: Symbol) -> None:
    """Send the engine the rules that it does not know yet, and tell what was sent."""
    try:
        sent = symbol_rules_send(symbol.pk, request.user.pk, note=SAVED_NOTE)
    except DomainError as error:
        text = f"{symbol}: the engine was not told yet ({error.detail}) It is, within a minute."
        model_admin.message_user(request, text, messages.WARNING)
        return
    if sent:
        text = f"{symbol}: sent to the engine: {'; '.join(sent)}."
        model_admin.message_user(request, text)


def has_orders(symbol: Symbol) -> bool:
    """Return whether orders of this symbol exist; True where LOOK_MS is too short to know."""
    sequences = EnginePartition.objects.values_list("feed_sequences", flat=True)
    if any(str(symbol.pk) in known for known in sequences):
        return True  # its book has changed: the quick answer for symbols in use
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {LOOK_MS:d}")
            found = Order.objects.filter(symbol=symbol).exists()
            cursor.execute("SET LOCAL statement_timeout = DEFAULT")
            return found
    except OperationalError:
        return True
