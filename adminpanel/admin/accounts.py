"""Account groups, API keys and order limits of users, and the cancel of all their orders."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from adminpanel.admin.actions import CommandActions
from adminpanel.admin.forms import PlainAdmin
from adminpanel.admin.readonly import ReadOnlyAdmin
from adminpanel.admin.user_acts import ACCESS_PERMISSION
from exchange.access.ends import key_revoke
from exchange.domain.errors import DomainError
from exchange.models import AccountGroup, ApiKey, User
from orders.markets.cancels import account_orders_cancel
from orders.markets.rules import order_limit_send
from risk.models import OrderLimit
from wallets.selectors import account_id_of


class OrderCancels(CommandActions):
    """Base of lists whose actions cancel all orders of a user or a key, one command a symbol."""

    def cancel_orders_of(
        self, request: HttpRequest, subject: User | ApiKey, user_id: int, owner_tag: int, note: str
    ) -> None:
        """Send the cancels of an account's orders with this owner tag, and tell the outcome."""
        account_id = account_id_of(user_id)
        if account_id is None:
            self.refused(request, subject, "there is no trading account, so there are no orders.")
            return
        try:
            codes = account_orders_cancel(
                account_id, owner_tag=owner_tag, requested_by=request.user.pk, note=note
            )
        except DomainError as error:  # some cancels may have been sent: repeating them is harmless
            self.refused(request, subject, error.detail)
            return
        if codes:
            text = f"the cancel of all orders is on its way in {', '.join(codes)}."
            self.sent(request, subject, text, note)
        else:
            self.message_user(request, f"{subject}: there are no open orders.")


@admin.register(AccountGroup)
class AccountGroupAdmin(PlainAdmin):
    """Groups whose users' orders do not trade with each other; a user's page sets the group."""

    list_display = ("name", "users")
    search_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the groups with the count of their users."""
        counted: QuerySet[Any] = super().get_queryset(request).annotate(user_count=Count("user"))
        return counted

    @admin.display(description="users", ordering="user_count")
    def users(self, group: Any) -> int:
        """Show how many users the group has."""
        return int(group.user_count)


@admin.register(ApiKey)
class ApiKeyAdmin(OrderCancels, ReadOnlyAdmin):
    """API keys, which staff may revoke but not change; secrets are never shown."""

    list_display = ("key_id", "user", "label", "can_trade", "created_at", "revoked_at")
    list_select_related = ("user",)
    exclude = ("secret_encrypted",)
    number_fields = ("pk", "user_id")
    actions = ("revoke", "cancel_orders")

    def has_access_permission(self, request: HttpRequest) -> bool:
        """Return whether this user may revoke keys and end sessions."""
        return request.user.has_perm(ACCESS_PERMISSION)

    @admin.action(description="Revoke (needs a reason)", permissions=["access"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Revoke the selected keys; only a superuser may revoke a key of staff."""
        note = self.reason_of(request)
        for key in queryset.select_related("user") if note else ():
            if key.user.is_staff and not request.user.is_superuser:
                self.refused(request, key, "only a superuser may do this to staff.")
                continue
            key_revoke(user_id=key.user_id, key_id=key.key_id, reason=note)
            self.sent(request, key, "revoked.", note)

    @admin.action(
        description="Cancel all orders placed with it (needs a reason)", permissions=["halt"]
    )
    def cancel_orders(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Cancel all orders that were placed with the selected keys."""
        note = self.reason_of(request)
        for key in queryset if note else ():
            self.cancel_orders_of(request, key, key.user_id, key.pk, note)


@admin.register(OrderLimit)
class OrderLimitAdmin(PlainAdmin):
    """Limits of one user's open orders on one symbol; each change is sent to the engine."""

    list_display = ("user", "symbol", "open_orders_max", "stop_orders_max")
    list_select_related = ("user", "symbol")
    list_filter = ("symbol",)
    search_fields = ("user__username",)
    autocomplete_fields = ("user", "symbol")

    def get_readonly_fields(
        self, request: HttpRequest, obj: OrderLimit | None = None
    ) -> tuple[str, ...]:
        """Fix user and symbol of a saved limit: another user or symbol needs another limit."""
        return ("user", "symbol") if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: OrderLimit, form: Any, change: bool) -> None:
        """Save the limit, and send it to the engine after the commit."""
        super().save_model(request, obj, form, change)
        transaction.on_commit(lambda: self._tell(request, obj))

    def delete_model(self, request: HttpRequest, obj: OrderLimit) -> None:
        """Delete the limit, and send the symbol's limits instead after the commit."""
        super().delete_model(request, obj)
        transaction.on_commit(lambda: self._tell(request, obj))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[OrderLimit]) -> None:
        """Delete the selected limits, and send the symbols' limits instead after the commit."""
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
