"""Read-only list of security events, with filters and a search."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from adminpanel.admin.readonly import PartitionedAdmin, PeriodFilter
from exchange.models import SecurityEvent, User

TERM_MAX = 150


@admin.register(SecurityEvent)
class SecurityEventAdmin(PartitionedAdmin):
    """Security events, searched by user name, network address, request id or event number."""

    list_display = (
        "created_at", "kind", "actor", "subject", "name", "address", "request_id", "target",
    )  # fmt: skip
    list_select_related = ("actor", "subject")
    list_filter = (PeriodFilter, "kind")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find whole terms only, as each has an index."""
        term = search_term.strip()[:TERM_MAX]
        if not term:
            return queryset, False
        if not term.isprintable():
            return queryset.none(), False
        user_ids = list(User.objects.filter(username=term).values_list("pk", flat=True))
        found = Q(address=term) | Q(request_id=term)
        if user_ids:
            found |= Q(actor__in=user_ids) | Q(subject__in=user_ids)
        if term.isascii() and term.isdigit() and int(term) < 1 << 63:
            found |= Q(pk=int(term))
        return queryset.filter(found), False
