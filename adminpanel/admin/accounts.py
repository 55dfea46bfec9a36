"""Account groups, API keys and limits of users; and ending all of their orders."""

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
    actions = ("revoke", "cancel_orders")

    def has_access_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(ACCESS_PERMISSION)

    @admin.action(description="Revoke (needs a reason)", permissions=["access"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
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
