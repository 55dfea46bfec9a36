"""Read-only lists of orders, trades, the ledger, balances, commands and engines."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from adminpanel.admin.engines import alarms, silences_read, words_of
from adminpanel.admin.readonly import PartitionedAdmin, PeriodFilter, ReadOnlyAdmin
from exchange.selectors import catalogue
from matching.state.codec import decode_command
from orders.commands.columns import TERMS_COLUMNS
from orders.models import (
    Command,
    EngineFault,
    EngineImage,
    EnginePartition,
    Order,
    OrderList,
    PreventedMatch,
    SettlementCursor,
    Trade,
)
from wallets.models import Account, Balance, Entry


def symbol_code(symbol_id: int) -> str:
    """Return the code of a symbol; its number where the symbol is unknown."""
    rules = catalogue().symbols_by_id.get(symbol_id)
    return rules.units.code if rules else str(symbol_id)


class SymbolFilter(SimpleListFilter):
    """A filter for tables that store a symbol's number without a foreign key."""

    title = "symbol"
    parameter_name = "symbol"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer all symbols."""
        symbols = catalogue().symbols_by_id
        return [(str(symbol_id), rules.units.code) for symbol_id, rules in symbols.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the chosen symbol; none for a value that is no number."""
        value = self.value()
        if value is None:
            return queryset
        if not (value.isascii() and value.isdigit() and int(value) < 1 << 63):
            return queryset.none()
        return queryset.filter(symbol_id=int(value))


@admin.register(Order)
class OrderAdmin(PartitionedAdmin):
    """Orders, searched by their number, account or list."""

    list_display = (
        "id", "account_id", "symbol", "side", "type", "price", "quantity", "quote_amount",
        "filled", "status", "reason", "created_at",
    )  # fmt: skip
    list_select_related = ("symbol",)
    list_filter = (PeriodFilter, "status", "side", "type", "symbol")
    number_fields = ("pk", "account_id", "list_id")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "id", "account_id", "symbol", "client_order_id", "side", "type",
                    "time_in_force", "post_only", "self_trade",
                    "group_id", "owner_tag", "list_id",
                ),
            },
        ),
        (
            "Price and quantity",
            {
                "fields": (
                    "price", "quantity", "quote_amount", "bound_price", "reference_price",
                ),
            },
        ),
        (
            "Terms",
            {"fields": (*TERMS_COLUMNS, "trail_stop_price", "trail_bound_price")},
        ),
        (
            "What came of it",
            {
                "fields": (
                    "status", "reason", "filled", "filled_quote", "maker_fee_ppm",
                    "taker_fee_ppm", "engine_seq", "priority_seq", "created_at", "updated_at",
                    "finished_at",
                ),
            },
        ),
    )  # fmt: skip


@admin.register(Trade)
class TradeAdmin(PartitionedAdmin):
    """Trades, searched by their number or by one of their orders."""

    list_display = (
        "id", "symbol_name", "price", "quantity", "quote_amount", "taker_side",
        "maker_order_id", "taker_order_id", "maker_account_id", "taker_account_id", "created_at",
    )  # fmt: skip
    list_filter = (PeriodFilter, "taker_side", SymbolFilter)
    number_fields = ("pk", "maker_order_id", "taker_order_id")

    @admin.display(description="symbol")
    def symbol_name(self, trade: Trade) -> str:
        """Show the symbol's code."""
        return symbol_code(trade.symbol_id)


@admin.register(OrderList)
class OrderListAdmin(ReadOnlyAdmin):
    """Lists of linked orders, searched by their number or account."""

    list_display = ("id", "kind", "account_id", "symbol_name", "created_at")
    list_filter = (PeriodFilter, "kind", SymbolFilter)
    number_fields = ("pk", "account_id")

    @admin.display(description="symbol")
    def symbol_name(self, order_list: OrderList) -> str:
        """Show the symbol's code."""
        return symbol_code(order_list.symbol_id)


@admin.register(PreventedMatch)
class PreventedMatchAdmin(ReadOnlyAdmin):
    """Matches that self-trade prevention prevented, searched by number, order or account."""

    list_display = (
        "id", "symbol_name", "mode", "price", "quantity", "taker_side", "maker_order_id",
        "taker_order_id", "maker_account_id", "taker_account_id", "created_at",
    )  # fmt: skip
    list_filter = (PeriodFilter, "mode", SymbolFilter)
    number_fields = (
        "pk", "maker_order_id", "taker_order_id", "maker_account_id", "taker_account_id",
    )  # fmt: skip

    @admin.display(description="symbol")
    def symbol_name(self, match: PreventedMatch) -> str:
        """Show the symbol's code."""
        return symbol_code(match.symbol_id)


@admin.register(Entry)
class EntryAdmin(PartitionedAdmin):
    """Entries of the ledger, searched by their number or account."""

    list_display = ("id", "journal_id", "account_id", "asset_code", "amount", "kind")
    list_filter = (PeriodFilter, "kind")
    number_fields = ("pk", "account_id")

    @admin.display(description="asset")
    def asset_code(self, entry: Entry) -> str:
        """Show the asset's code; its number where the asset is unknown."""
        asset = catalogue().assets.get(entry.asset_id)
        return asset.code if asset else str(entry.asset_id)


@admin.register(Command)
class CommandAdmin(ReadOnlyAdmin):
    """Commands to the engine, searched by their number or order."""

    list_display = (
        "id", "kind", "symbol_name", "account_id", "order_id", "engine_seq", "refusal",
        "requested_by", "note", "created_at",
    )  # fmt: skip
    list_filter = (PeriodFilter, "kind", SymbolFilter)
    exclude = ("payload",)
    readonly_fields = ("said",)
    number_fields = ("pk", "order_id")

    @admin.display(description="what it says")
    def said(self, command: Command) -> str:
        """Show the payload, decoded."""
        try:
            return str(decode_command(bytes(command.payload)))
        except ValueError:
            return "It cannot be read."

    @admin.display(description="symbol")
    def symbol_name(self, command: Command) -> str:
        """Show the symbol's code."""
        return symbol_code(command.symbol_id)


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """Accounts of users, the house and the outside world."""

    list_display = ("id", "kind", "user", "created_at")
    list_select_related = ("user",)
    list_filter = ("kind",)


@admin.register(Balance)
class BalanceAdmin(ReadOnlyAdmin):
    """Balances, searched by account."""

    list_display = ("id", "account", "asset", "available", "reserved", "version")
    list_select_related = ("account", "asset")
    list_filter = ("asset",)
    number_fields = ("account_id",)


@admin.register(EnginePartition)
class EnginePartitionAdmin(ReadOnlyAdmin):
    """Partitions, with their engines, symbols and leases."""

    list_display = (
        "id", "engine", "symbols", "owner", "epoch", "lease_until", "last_seq", "published_seq",
        "updated_at",
    )  # fmt: skip

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Add an alarm for each partition with symbols but no engine, even without a row."""
        placed = [(one.units.code, one.partition_id) for one in catalogue().symbols_by_id.values()]
        for text in alarms(placed, silences_read()):
            self.message_user(request, text, messages.ERROR)
        return super().changelist_view(request, extra_context)

    @admin.display(description="engine")
    def engine(self, partition: EnginePartition) -> str:
        """Show whether an engine serves the partition."""
        return words_of(silences_read(), partition.pk)

    @admin.display(description="symbols")
    def symbols(self, partition: EnginePartition) -> str:
        """Show the codes of the partition's symbols."""
        rules = catalogue().symbols_by_id.values()
        return ", ".join(one.units.code for one in rules if one.partition_id == partition.pk)


@admin.register(EngineImage)
class EngineImageAdmin(ReadOnlyAdmin):
    """Snapshots of engines, without their bytes."""

    list_display = ("id", "partition_id", "last_seq", "created_at")
    exclude = ("image",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[EngineImage]:
        """Leave out the bytes: each snapshot has megabytes."""
        return super().get_queryset(request).defer("image")


@admin.register(SettlementCursor)
class SettlementCursorAdmin(ReadOnlyAdmin):
    """The last settled sequence of each partition."""

    list_display = ("partition_id", "last_seq", "updated_at")


@admin.register(EngineFault)
class EngineFaultAdmin(ReadOnlyAdmin):
    """Commands that made an engine raise, and that it refuses from then on."""

    list_display = ("command_id", "symbol_name", "created_at")

    @admin.display(description="symbol")
    def symbol_name(self, fault: EngineFault) -> str:
        """Show the symbol's code."""
        return symbol_code(fault.symbol_id)
