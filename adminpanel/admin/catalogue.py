"""Brands, assets and fees."""

from django.contrib import admin
from django.db import transaction
from django.forms import ModelForm
from django.http import HttpRequest

from exchange.models import Asset, Brand, FeeSchedule, Tier
from exchange.selectors import catalogue_forget
from exchange.web.brands import brands_forget
from wallets.models import Balance


@admin.register(Brand)
class BrandAdmin(admin.ModelAdmin):
    list_display = ("name", "slug", "host", "is_default", "colour_primary", "colour_accent")
    prepopulated_fields = {"slug": ("name",)}
    filter_horizontal = ("symbols",)

    def save_related(
        self, request: HttpRequest, form: "ModelForm[Brand]", formsets: object, change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        transaction.on_commit(brands_forget)


@admin.register(Asset)
class AssetAdmin(admin.ModelAdmin):
    """The scale is what integers mean: fixed as soon as anybody has any of the asset."""

    list_display = ("code", "name", "scale")
    search_fields = ("code", "name")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Asset | None = None
    ) -> tuple[str, ...]:
        held = obj is not None and Balance.objects.filter(asset=obj).exists()
        return ("code", "scale") if held else ()

    def has_delete_permission(self, request: HttpRequest, obj: Asset | None = None) -> bool:
        return False


@admin.register(Tier)
class TierAdmin(admin.ModelAdmin):
    list_display = (
        "name",
        "orders_per_second",
        "cancels_per_second",
        "reads_per_second",
        "may_self_trade",
        "is_default",
    )


@admin.register(FeeSchedule)
class FeeScheduleAdmin(admin.ModelAdmin):
    list_display = ("__str__", "tier", "symbol", "maker_ppm", "taker_ppm")
    list_select_related = ("tier", "symbol")
    list_filter = ("tier", "symbol")

    def save_model(
        self, request: HttpRequest, obj: FeeSchedule, form: "ModelForm[FeeSchedule]", change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        transaction.on_commit(catalogue_forget)
