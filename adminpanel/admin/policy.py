"""Permissions of staff in the back office, decided in one place; every admin is an OfficeAdmin.

Only superusers give powers: groups, permissions and staff status. Only they change what would let
one person act as another: names, passwords and addresses of users. On such a model OPEN_FIELDS
names the fields that are open to staff, so a new column begins closed.

Each change by staff is recorded with old and new values (exchange/access/security_events.py).
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
# On these models staff change only the named fields.
OPEN_FIELDS: Final[dict[type[Model], frozenset[str]]] = {
    User: frozenset({"first_name", "last_name", "tier", "group", "self_trade_prevention"}),
}


def is_power(model: type[Model]) -> bool:
    """Return whether rows of this model give somebody power over the exchange."""
    return issubclass(model, POWERS)


def closed_fields(model: type[Model]) -> set[str]:
    """Return the fields of a model that only a superuser may change."""
    fields = [*model._meta.fields, *model._meta.many_to_many]
    open_fields = OPEN_FIELDS.get(model)
    return {
        field.name
        for field in fields
        if (open_fields is not None and field.name not in open_fields)
        or (isinstance(field.related_model, type) and is_power(field.related_model))
    }


class OfficeAdmin(admin.ModelAdmin):
    """Base of every admin: permissions, and the record of each change."""

    superusers_only: ClassVar[bool] = False

    def is_open_to(self, request: HttpRequest) -> bool:
        """Return whether this user may change rows of this model at all."""
        is_closed = self.superusers_only or is_power(self.model)
        return bool(request.user.is_superuser) or not is_closed

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Require an open model, and Django's permission to add."""
        return self.is_open_to(request) and super().has_add_permission(request, *args)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Require an open model, and Django's permission to change."""
        return self.is_open_to(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Require an open model, and Django's permission to delete."""
        return self.is_open_to(request) and super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Add the closed fields for staff who are no superusers; secrets are not even shown."""
        fields = tuple(super().get_readonly_fields(request, obj))
        if request.user.is_superuser:
            return fields
        closed = closed_fields(self.model) - set(fields) - set(self.get_exclude(request, obj) or ())
        return (*fields, *sorted(name for name in closed if not is_secret(name)))

    def get_inline_instances(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Leave inlines that give powers to superusers."""
        inlines = super().get_inline_instances(request, obj)
        if request.user.is_superuser:
            return inlines
        return [inline for inline in inlines if not is_power(inline.model)]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Never allow a filter by a secret: it would reveal the secret letter by letter."""
        return not is_secret(lookup) and super().lookup_allowed(lookup, value, request)

    # --- the record -------------------------------------------------------------------------

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Add the old and new value of each changed field to Django's message."""
        message = super().construct_change_message(request, form, formsets, add)
        values = changed_values(form)
        return [*message, {"values": values}] if values else message

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Record an added row as a security event and in Django's log."""
        self._record(SecurityKind.STAFF_ADDED, request, obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Record a changed row, or an action, whose message is a text."""
        is_form = isinstance(message, list)
        kind = SecurityKind.STAFF_CHANGED if is_form else SecurityKind.STAFF_ACTED
        self._record(kind, request, obj, message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Record each deleted row."""
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
    """Return [old, new] of each changed field of a form; secrets are redacted."""
    return {
        name: [REDACTED]
        if is_secret(name)
        else [_text(form.initial.get(name)), _text(form.cleaned_data.get(name))]
        for name in form.changed_data
    }


def _text(value: Any) -> Any:
    """Return a form's value as it is recorded; rows as their primary keys, like initial values."""
    if isinstance(value, Model):
        return value.pk
    if isinstance(value, QuerySet | list | tuple):
        return sorted(str(_text(item)) for item in value)
    return value if value is None or isinstance(value, bool | int) else str(value)


def detail_of(message: Any) -> dict[str, Any]:
    """Return a message to Django's log as recorded: values of a form, or the text of an action."""
    if not isinstance(message, list):
        return {"said": str(message)} if message else {}
    values: dict[str, Any] = {}
    for part in message:
        values.update(part.get("values", {}))
    return values
