"""Brands, assets, tiers and fees."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from adminpanel.admin.fees import PRECEDENCE, fees_effective, fees_of_tier
from adminpanel.admin.forms import PlainAdmin
from exchange.domain.units import percent_text
from exchange.models import Asset, Brand, FeeSchedule, Symbol, Tier
from exchange.selectors import catalogue_forget
from exchange.web.brands import brands_forget
from wallets.models import Balance


@admin.register(Brand)
class BrandAdmin(PlainAdmin):
    """Brands: names, hosts, colours, and the symbols that each shows."""

    list_display = (
        "name", "slug", "host", "is_default", "shows", "colour_primary", "colour_accent",
    )  # fmt: skip
    prepopulated_fields = {"slug": ("name",)}
    filter_horizontal = ("symbols",)

    @admin.display(description="shows")
    def shows(self, brand: Brand) -> str:
        """Show the listed symbols of the brand; a brand without a list shows all of them."""
        codes = [symbol.code for symbol in brand.symbols.all() if symbol.is_listed]
        has_list = bool(brand.symbols.all())
        return ", ".join(codes) or ("NOTHING" if has_list else "all listed symbols")

    def save_related(
        self, request: HttpRequest, form: "ModelForm[Brand]", formsets: object, change: bool
    ) -> None:
        """Save the brand's symbols; pages of this process show them at once."""
        super().save_related(request, form, formsets, change)
        transaction.on_commit(brands_forget)


@admin.register(Asset)
class AssetAdmin(PlainAdmin):
    """Assets; the scale gives stored integers their meaning, so a first balance fixes it."""

    list_display = ("code", "name", "scale")
    search_fields = ("code", "name")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Asset | None = None
    ) -> tuple[str, ...]:
        """Fix code and scale of an asset that has a balance."""
        is_used = obj is not None and Balance.objects.filter(asset=obj).exists()
        return ("code", "scale") if is_used else ()

    def has_delete_permission(self, request: HttpRequest, obj: Asset | None = None) -> bool:
        """Never: symbols and balances name the asset."""
        return False


@admin.register(Tier)
class TierAdmin(PlainAdmin):
    """Tiers: request limits of their users, and the fees that they pay."""

    readonly_fields = ("fees",)
    list_display = (
        "name",
        "orders_per_second",
        "cancels_per_second",
        "reads_per_second",
        "may_self_trade",
        "is_default",
    )

    @admin.display(description="effective fees")
    def fees(self, tier: Tier) -> str:
        """Show the fees that the tier pays on each listed symbol."""
        return fees_of_tier(tier)


@admin.register(FeeSchedule)
class FeeScheduleAdmin(PlainAdmin):
    """Rows of fees, by tier and symbol, with the effective fees above the list."""

    list_display = ("__str__", "tier", "symbol", "maker", "taker")
    fieldsets = (
        (None, {"fields": ("tier", "symbol", "maker_ppm", "taker_ppm"), "description": PRECEDENCE}),
    )
    change_list_template = "admin/exchange/feeschedule/change_list.html"
    list_select_related = ("tier", "symbol")
    list_filter = ("tier", "symbol")

    def save_model(
        self, request: HttpRequest, obj: FeeSchedule, form: "ModelForm[FeeSchedule]", change: bool
    ) -> None:
        """Save the row; this process uses it at once after the commit."""
        super().save_model(request, obj, form, change)
        transaction.on_commit(catalogue_forget)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the rows with the rule of precedence and the effective fees."""
        tiers, symbols = Tier.objects.order_by("name"), Symbol.objects.filter(is_listed=True)
        context = {"precedence": PRECEDENCE, "effective": fees_effective(tiers, symbols)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    @admin.display(description="maker", ordering="maker_ppm")
    def maker(self, fee: FeeSchedule) -> str:
        """Show the maker fee in percent."""
        return f"{percent_text(fee.maker_ppm)} %"

    @admin.display(description="taker", ordering="taker_ppm")
    def taker(self, fee: FeeSchedule) -> str:
        """Show the taker fee in percent."""
        return f"{percent_text(fee.taker_ppm)} %"
