"""What staff may do in the back office, decided in one place; every admin stands on OfficeAdmin.

Powers are a superuser's to give: groups and permissions, and what makes somebody staff. So is
whatever would let one person be another: names, passwords and addresses of users. A field that is
not named as open to staff is closed to them on such a model, so a new column begins closed.

What staff change is on record with its old and new values (exchange/access/security_events.py).
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from exchange.access.security_events import REDACTED, event_record, is_secret
from exchange.domain.enums import SecurityKind
from exchange.models import User

# Only superusers add, change or delete these, whatever permissions a group holds.
POWERS: Final[tuple[type[Model], ...]] = (
    Group,
    Permission,
    Session,
    Group.permissions.through,
    User.groups.through,
    User.user_permissions.through,
)
# Of these models staff change the fields that are named, and no others.
OPEN_FIELDS: Final[dict[type[Model], frozenset[str]]] = {
    User: frozenset({"first_name", "last_name", "tier", "group", "self_trade_prevention"}),
}


def is_power(model: type[Model]) -> bool:
    """Whether a row of this model gives somebody power over the exchange."""
    return issubclass(model, POWERS)


def closed_fields(model: type[Model]) -> set[str]:
    """The fields of a model that only a superuser changes."""
    fields = [*model._meta.fields, *model._meta.many_to_many]
    named = OPEN_FIELDS.get(model)
    return {
        field.name
        for field in fields
        if (named is not None and field.name not in named)
        or (isinstance(field.related_model, type) and is_power(field.related_model))
    }


class OfficeAdmin(admin.ModelAdmin):
    """The base of every admin: who may what, and the record of what was done."""

    superusers_only: ClassVar[bool] = False

    def is_open_to(self, request: HttpRequest) -> bool:
        """Whether this user may change anything of this model at all."""
        is_closed = self.superusers_only or is_power(self.model)
        return bool(request.user.is_superuser) or not is_closed

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return self.is_open_to(request) and super().has_add_permission(request, *args)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.is_open_to(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.is_open_to(request) and super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = tuple(super().get_readonly_fields(request, obj))
        if request.user.is_superuser:
            return fields
        closed = closed_fields(self.model) - set(fields) - set(self.get_exclude(request, obj) or ())
        return (*fields, *sorted(name for name in closed if not is_secret(name)))

    def get_inline_instances(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        inlines = super().get_inline_instances(request, obj)
        if request.user.is_superuser:
            return inlines
        return [inline for inline in inlines if not is_power(inline.model)]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """A list is never filtered by a secret: that would tell it letter by letter."""
        return not is_secret(lookup) and super().lookup_allowed(lookup, value, request)

    # --- the record -------------------------------------------------------------------------

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Django's own message, and what each field was and became."""
        message = super().construct_change_message(request, form, formsets, add)
        values = changed_values(form)
        return [*message, {"values": values}] if values else message

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._record(SecurityKind.STAFF_ADDED, request, obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        is_of_form = isinstance(message, list)
        kind = SecurityKind.STAFF_CHANGED if is_of_form else SecurityKind.STAFF_ACTED
        self._record(kind, request, obj, message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for obj in queryset:
            self._record(SecurityKind.STAFF_DELETED, request, obj, "")
        return super().log_deletions(request, queryset)

    def _record(self, kind: SecurityKind, request: HttpRequest, obj: Any, message: Any) -> None:
        event_record(
            kind,
            actor_id=request.user.pk,
            subject_id=obj.pk if isinstance(obj, User) else getattr(obj, "user_id", None),
            target=f"{obj._meta.label_lower} {obj.pk} {obj}",
            detail=detail_of(message),
        )


def changed_values(form: Any) -> dict[str, Sequence[Any]]:
    """What each changed field was and became; what is secret is named without its values."""
    return {
        name: [REDACTED]
        if is_secret(name)
        else [_text(form.initial.get(name)), _text(form.cleaned_data.get(name))]
        for name in form.changed_data
    }


def _text(value: Any) -> Any:
    """A value of a form as it is recorded; rows by their numbers, as the initial values are."""
    if isinstance(value, Model):
        return value.pk
    if isinstance(value, QuerySet | list | tuple):
        return sorted(str(_text(one)) for one in value)
    return value if value is None or isinstance(value, bool | int) else str(value)


def detail_of(message: Any) -> dict[str, Any]:
    """What is recorded of a message to Django's log: values of a form, or the words of an act."""
    if not isinstance(message, list):
        return {"said": str(message)} if message else {}
    values: dict[str, Any] = {}
    for part in message:
        values.update(part.get("values", {}))
    return values
