"""Users: their data, their powers, and the pages of staff's acts on them."""

from functools import partial, update_wrapper
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from adminpanel.admin.accounts import OrderCancels
from adminpanel.admin.forms import PlainAdmin, PlainForm
from adminpanel.admin.policy import OfficeAdmin
from adminpanel.admin.user_acts import ACTS, CANCEL, KEEP, Act
from exchange.access.ends import password_store
from exchange.domain.errors import DomainError
from exchange.models import User
from orders.markets.cancels import ANY_OWNER
from wallets.services import account_open, user_opened

ACTS_BY_NAME = {act.name: act for act in ACTS}


class PasswordForm(AdminPasswordChangeForm):
    """Form of another user's password."""

    def save(self, commit: bool = True) -> User:
        """Store the password, and end the user's sessions."""
        user: User = super().save(commit=False)
        password_store(user)
        return user


class UserForm(PlainForm, UserChangeForm):
    """Django's form of a user, with the sentences of PlainForm for broken constraints."""


@admin.register(User)
class UserAdmin(OrderCancels, PlainAdmin, DjangoUserAdmin):
    """Users are suspended or deactivated, never deleted: the ledger names their account.

    Only a superuser gives powers and passwords, or changes staff: otherwise staff who may edit
    customers could act as a customer, or as somebody who may halt a market.
    """

    list_display = ("username", "email", "tier", "group", "is_active", "is_suspended", "is_staff")
    list_filter = ("is_active", "is_suspended", "is_staff", "tier", "group")
    list_select_related = ("tier", "group")
    actions = ("suspend", "suspend_keep_orders", "unsuspend", "cancel_orders")
    fieldsets = (
        *(DjangoUserAdmin.fieldsets or ()),
        ("Trading", {"fields": ("tier", "group", "self_trade_prevention", "is_suspended")}),
    )
    readonly_fields = ("is_active", "is_suspended", "last_login", "date_joined")
    change_form_template = "admin/exchange/user/change_form.html"
    change_password_form = PasswordForm
    form = UserForm

    # --- permissions ------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Hide the password's hash from staff who may not set passwords."""
        fieldsets = super().get_fieldsets(request, obj)
        if request.user.is_superuser or obj is None:
            return fieldsets
        return [
            (title, {**options, "fields": [one for one in options["fields"] if one != "password"]})
            for title, options in fieldsets
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Fix nothing on the form of a new user: it has only a name and a password."""
        if obj is None:
            return ()
        return super().get_readonly_fields(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let only superusers change staff."""
        return super().has_change_permission(request, obj) and self.may_manage(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Never: the ledger names the user's account."""
        return False

    def has_suspend_permission(self, request: HttpRequest) -> bool:
        """Return whether the actions are offered; `may_act` decides for each user."""
        return request.user.has_perm(ACTS_BY_NAME["suspend"].permission)

    def may_manage(self, request: HttpRequest, user: User | None) -> bool:
        """Return whether the request's user may change this one: only superusers manage staff."""
        is_staff = user is not None and (user.is_staff or user.is_superuser)
        return bool(request.user.is_superuser) or not is_staff

    def may_act(self, request: HttpRequest, act: Act, user: User) -> bool:
        """Return whether the request's user may perform this act on `user`."""
        is_own = act.bars and user == request.user  # nobody locks themselves out
        may = request.user.has_perm(act.permission) and self.may_manage(request, user)
        return bool(may and not is_own)

    # --- changes ----------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Save the user, who always gets a trading account."""
        super().save_model(request, obj, form, change)
        if change:
            account_open(user_id=obj.pk)  # a user made in a shell may have none
        else:
            user_opened(obj.pk)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        """Let only superusers set a password."""
        if not request.user.is_superuser:
            raise PermissionDenied
        return super().user_change_password(request, id, form_url)

    @admin.action(description="Cancel all their orders (needs a reason)", permissions=["halt"])
    def cancel_orders(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Cancel all orders of the selected users."""
        note = self.reason_of(request)
        for user in queryset if note else ():
            self.cancel_orders_of(request, user, user.pk, ANY_OWNER, note)

    @admin.action(
        description="Suspend, and cancel all their orders (needs a reason)", permissions=["suspend"]
    )
    def suspend(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Suspend the selected users, and cancel all their orders."""
        self._act_on(request, queryset, "suspend", orders=CANCEL)

    @admin.action(
        description="Suspend, and keep their orders (needs a reason)", permissions=["suspend"]
    )
    def suspend_keep_orders(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Suspend the selected users, whose orders go on trading."""
        self._act_on(request, queryset, "suspend", orders=KEEP)

    @admin.action(description="End the suspension (needs a reason)", permissions=["suspend"])
    def unsuspend(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """End the suspension of the selected users."""
        self._act_on(request, queryset, "unsuspend")

    def _act_on(
        self, request: HttpRequest, queryset: QuerySet[User], name: str, **values: str
    ) -> None:
        act, reason = ACTS_BY_NAME[name], self.reason_of(request)
        for user in queryset if reason else ():
            if not self.may_act(request, act, user):
                self.refused(request, user, "only a superuser may do this to staff.")
            elif not act.applies(user):
                self.message_user(request, f"{user}: there is nothing to do.")
            else:
                self.perform(request, act, user, {**values, "reason": reason})

    def perform(
        self, request: HttpRequest, act: Act, user: User, values: dict[str, Any]
    ) -> DomainError | None:
        """Perform an act on a user and tell the outcome; return the refusal, if any."""
        actor_id = request.user.pk
        assert actor_id is not None
        try:
            said = act.perform(user, values, actor_id)
        except DomainError as error:
            return error
        self.sent(request, user, said, values["reason"])
        return None

    # --- pages ------------------------------------------------------------------------------

    def get_urls(self) -> Any:
        """Add a page for each act."""
        pages = []
        for act in ACTS:
            view = update_wrapper(partial(self.act_view, act=act), self.act_view)
            wrapped = self.admin_site.admin_view(view)
            pages.append(path(f"<int:user_id>/{act.name}/", wrapped, name=f"user_{act.name}"))
        return [*pages, *super().get_urls()]

    def act_view(self, request: HttpRequest, user_id: int, *, act: Act) -> HttpResponse:
        """Show the form of an act; a valid form performs the act and returns to the user's page."""
        user = User.objects.filter(pk=user_id).first()
        if user is None:
            raise Http404
        if not self.may_act(request, act, user):
            raise PermissionDenied
        back = redirect(reverse("admin:exchange_user_change", args=[user.pk]))
        if not act.applies(user):
            self.message_user(request, f"{user}: there is nothing to do.", messages.WARNING)
            return back
        form = act.form(user, request.POST if request.method == "POST" else None)
        if form.is_valid():
            refusal = self.perform(request, act, user, form.cleaned_data)
            if refusal is None:
                return back
            form.add_error(None, refusal.detail)
        return self._act_page(request, act, user, form)

    def _act_page(self, request: HttpRequest, act: Act, user: User, form: Any) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"{act.title}: {user}",
            "opts": self.opts,
            "form": form,
            "act": act,
            "original": user,
        }
        return TemplateResponse(request, "admin/exchange/user/act.html", context)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Show the user's form with links to the acts that the request's user may perform."""
        user = context.get("original")
        if user is not None:
            acts = [act for act in ACTS if self.may_act(request, act, user) and act.applies(user)]
            context["acts"] = [
                (act.title, reverse(f"admin:user_{act.name}", args=[user.pk])) for act in acts
            ]
        return super().render_change_form(request, context, *args, **kwargs)


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(OfficeAdmin, DjangoGroupAdmin):
    """Groups give powers: superusers change them, staff with the permission may view them."""
