"""Users, their groups, their API keys and their limits; and ending all of their orders."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from adminpanel.admin.actions import CommandActions
from adminpanel.admin.forms import PlainAdmin
from adminpanel.admin.readonly import ReadOnlyAdmin
from exchange.domain.errors import DomainError
from exchange.models import AccountGroup, ApiKey, User
from exchange.realtime.channels import sockets_close
from orders.market_rules import order_limit_send
from orders.mass_cancels import ANY_OWNER, account_orders_cancel
from risk.models import OrderLimit
from wallets.selectors import account_id_of

ENDS_SOCKETS = frozenset({"is_active", "is_suspended"})
# What makes somebody staff, and what staff may do.
POWERS = ("is_staff", "is_superuser", "groups", "user_permissions")


class OrderCancels(CommandActions):
    """Ends the orders of what is selected, one command a symbol."""

    def cancel_orders_of(
        self, request: HttpRequest, subject: User | ApiKey, user_id: int, owner_tag: int, note: str
    ) -> None:
        """Send the cancels, and tell what came of it."""
        account_id = account_id_of(user_id)
        if account_id is None:
            self.refused(request, subject, "there is no trading account, so there are no orders.")
            return
        try:
            codes = account_orders_cancel(
                account_id, owner_tag=owner_tag, requested_by=request.user.pk, note=note
            )
        except DomainError as error:  # some may have gone out: repeating it is harmless
            self.refused(request, subject, error.detail)
            return
        if codes:
            text = f"the cancel of all orders is on its way in {', '.join(codes)}."
            self.sent(request, subject, text, note)
        else:
            self.message_user(request, f"{subject}: there are no open orders.")


@admin.register(User)
class UserAdmin(OrderCancels, DjangoUserAdmin):
    """Users are suspended or deactivated, never deleted: the ledger names their account.

    Only a superuser gives powers, or changes anything of staff: who may edit customers could
    otherwise take the password of one who may halt a market, or the permission itself.
    """

    list_display = ("username", "email", "tier", "group", "is_active", "is_suspended", "is_staff")
    list_filter = ("is_active", "is_suspended", "is_staff", "tier", "group")
    list_select_related = ("tier", "group")
    actions = ("cancel_orders",)
    fieldsets = (
        *(DjangoUserAdmin.fieldsets or ()),
        ("Trading", {"fields": ("tier", "group", "self_trade_prevention", "is_suspended")}),
    )

    @admin.action(description="Cancel all their orders (needs a reason)", permissions=["halt"])
    def cancel_orders(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        note = self.reason_of(request)
        for user in queryset if note else ():
            self.cancel_orders_of(request, user, user.pk, ANY_OWNER, note)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, *POWERS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        may: bool = super().has_change_permission(request, obj)
        is_staff = obj is not None and (obj.is_staff or obj.is_superuser)
        return may and (request.user.is_superuser or not is_staff)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and ENDS_SOCKETS & set(form.changed_data):
            transaction.on_commit(lambda: sockets_close(obj.pk))


@admin.register(AccountGroup)
class AccountGroupAdmin(PlainAdmin):
    """Its users' orders do not trade with each other; who is in it stands with the user."""

    list_display = ("name", "users")
    search_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        counted: QuerySet[Any] = super().get_queryset(request).annotate(user_count=Count("user"))
        return counted

    @admin.display(description="users", ordering="user_count")
    def users(self, group: Any) -> int:
        return int(group.user_count)


@admin.register(ApiKey)
class ApiKeyAdmin(OrderCancels, ReadOnlyAdmin):
    list_display = ("key_id", "user", "label", "can_trade", "created_at", "revoked_at")
    list_select_related = ("user",)
    exclude = ("secret_encrypted",)
    number_fields = ("pk", "user_id")
    actions = ("cancel_orders",)

    @admin.action(
        description="Cancel all orders placed with it (needs a reason)", permissions=["halt"]
    )
    def cancel_orders(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        note = self.reason_of(request)
        for key in queryset if note else ():
            self.cancel_orders_of(request, key, key.user_id, key.pk, note)


@admin.register(OrderLimit)
class OrderLimitAdmin(PlainAdmin):
    """What one user may have on one symbol. The engine is told on each change."""

    list_display = ("user", "symbol", "open_orders_max", "stop_orders_max")
    list_select_related = ("user", "symbol")
    list_filter = ("symbol",)
    search_fields = ("user__username",)
    autocomplete_fields = ("user", "symbol")

    def get_readonly_fields(
        self, request: HttpRequest, obj: OrderLimit | None = None
    ) -> tuple[str, ...]:
        return ("user", "symbol") if obj is not None else ()  # another one is another limit

    def save_model(self, request: HttpRequest, obj: OrderLimit, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        transaction.on_commit(lambda: self._tell(request, obj))

    def delete_model(self, request: HttpRequest, obj: OrderLimit) -> None:
        super().delete_model(request, obj)
        transaction.on_commit(lambda: self._tell(request, obj))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[OrderLimit]) -> None:
        limits = list(queryset.select_related("user", "symbol"))
        super().delete_queryset(request, queryset)
        for limit in limits:
            transaction.on_commit(partial(self._tell, request, limit))

    def _tell(self, request: HttpRequest, limit: OrderLimit) -> None:
        try:
            sent = order_limit_send(limit, request.user.pk)
        except DomainError as error:
            text = f"{limit}: the engine was not told yet ({error.detail}) It is, within a minute."
            self.message_user(request, text, messages.WARNING)
            return
        text = "; ".join(sent) or "nothing: it knows this, or there is no trading account yet"
        self.message_user(request, f"{limit}: sent to the engine: {text}.")
