"""Orders, trades, the ledger, balances, commands and the engine: read-only lists."""

from django.contrib import admin

from adminpanel.admin.readonly import PartitionedAdmin, PeriodFilter, ReadOnlyAdmin
from exchange.selectors import catalogue
from orders.models import Command, EngineFault, EnginePartition, Order, SettlementCursor, Trade
from wallets.models import Account, Balance, Entry


def symbol_code(symbol_id: int) -> str:
    rules = catalogue().symbols_by_id.get(symbol_id)
    return rules.units.code if rules else str(symbol_id)


@admin.register(Order)
class OrderAdmin(PartitionedAdmin):
    list_display = (
        "id", "account_id", "symbol", "side", "type", "price", "quantity", "quote_amount",
        "filled", "status", "reason", "created_at",
    )  # fmt: skip
    list_select_related = ("symbol",)
    list_filter = (PeriodFilter, "status", "side", "symbol")
    number_fields = ("pk", "account_id")


@admin.register(Trade)
class TradeAdmin(PartitionedAdmin):
    list_display = (
        "id", "symbol_name", "price", "quantity", "quote_amount", "taker_side",
        "maker_order_id", "taker_order_id", "maker_account_id", "taker_account_id", "created_at",
    )  # fmt: skip
    list_filter = (PeriodFilter, "taker_side")
    number_fields = ("pk", "maker_order_id", "taker_order_id")

    @admin.display(description="symbol")
    def symbol_name(self, trade: Trade) -> str:
        return symbol_code(trade.symbol_id)


@admin.register(Entry)
class EntryAdmin(PartitionedAdmin):
    list_display = ("id", "journal_id", "account_id", "asset_code", "amount", "kind")
    list_filter = (PeriodFilter, "kind")
    number_fields = ("pk", "account_id")

    @admin.display(description="asset")
    def asset_code(self, entry: Entry) -> str:
        asset = catalogue().assets.get(entry.asset_id)
        return asset.code if asset else str(entry.asset_id)


@admin.register(Command)
class CommandAdmin(ReadOnlyAdmin):
    list_display = (
        "id", "kind", "symbol_name", "account_id", "order_id", "engine_seq", "refusal",
        "requested_by", "note", "created_at",
    )  # fmt: skip
    list_filter = (PeriodFilter, "kind")
    exclude = ("payload",)
    number_fields = ("pk", "order_id")

    @admin.display(description="symbol")
    def symbol_name(self, command: Command) -> str:
        return symbol_code(command.symbol_id)


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "user", "created_at")
    list_select_related = ("user",)
    list_filter = ("kind",)


@admin.register(Balance)
class BalanceAdmin(ReadOnlyAdmin):
    list_display = ("id", "account", "asset", "available", "reserved", "version")
    list_select_related = ("account", "asset")
    list_filter = ("asset",)
    number_fields = ("account_id",)


@admin.register(EnginePartition)
class EnginePartitionAdmin(ReadOnlyAdmin):
    list_display = (
        "id", "owner", "epoch", "lease_until", "last_seq", "published_seq", "updated_at",
    )  # fmt: skip


@admin.register(SettlementCursor)
class SettlementCursorAdmin(ReadOnlyAdmin):
    list_display = ("partition_id", "last_seq", "updated_at")


@admin.register(EngineFault)
class EngineFaultAdmin(ReadOnlyAdmin):
    list_display = ("command_id", "symbol_name", "created_at")

    @admin.display(description="symbol")
    def symbol_name(self, fault: EngineFault) -> str:
        return symbol_code(fault.symbol_id)
