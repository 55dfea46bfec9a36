"""Users and their API keys."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db import transaction
from django.http import HttpRequest

from adminpanel.admin.readonly import ReadOnlyAdmin
from exchange.models import ApiKey, User
from exchange.realtime.channels import sockets_close

ENDS_SOCKETS = frozenset({"is_active", "is_suspended"})


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """Users are suspended or deactivated, never deleted: the ledger names their account."""

    list_display = ("username", "email", "tier", "is_active", "is_suspended", "is_staff")
    list_filter = ("is_active", "is_suspended", "is_staff", "tier")
    list_select_related = ("tier",)
    fieldsets = (
        *(DjangoUserAdmin.fieldsets or ()),
        ("Trading", {"fields": ("tier", "is_suspended")}),
    )

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and ENDS_SOCKETS & set(form.changed_data):
            transaction.on_commit(lambda: sockets_close(obj.pk))


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("key_id", "user", "label", "can_trade", "created_at", "revoked_at")
    list_select_related = ("user",)
    exclude = ("secret_encrypted",)
    number_fields = ("user_id",)
