"""Base of read-only lists: tables that the engine and the ledger own.

An edit here would differ from the engine's memory or unbalance a journal. A cancel or a halt goes
through the engine as a command.
"""

import time
from typing import Any, ClassVar, Final

from django.contrib.admin import SimpleListFilter
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from adminpanel.admin.policy import OfficeAdmin
from exchange.domain.ids import id_floor

COUNT_MAX: Final = 10_000
HOUR_MS: Final = 3_600_000
PERIODS_MS: Final = {"hour": HOUR_MS, "day": 24 * HOUR_MS, "month": 31 * 24 * HOUR_MS}
PERIOD_DEFAULT: Final = "day"


class BoundedPaginator(Paginator):
    """A paginator that counts to COUNT_MAX only: a full count reads a whole partitioned table."""

    @cached_property
    def count(self) -> int:
        """Return the number of rows, at most COUNT_MAX."""
        rows: Any = self.object_list[:COUNT_MAX]  # still a queryset: a LIMIT inside the COUNT
        return int(rows.count())


class PeriodFilter(SimpleListFilter):
    """A filter that bounds the time-ordered id, so that only partitions of its period are read.

    A search by number covers all partitions, as each has an index for it.
    """

    title = "period"
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the periods other than the default one."""
        return [("hour", "last hour"), ("month", "last 31 days"), ("all", "any time")]

    def choices(self, changelist: Any) -> Any:
        """Name Django's first choice, "all", by what it shows here: the default period."""
        for index, choice in enumerate(super().choices(changelist)):
            yield {**choice, "display": "last 24 hours"} if index == 0 else choice

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the chosen period."""
        period = self.value() or PERIOD_DEFAULT
        if period not in PERIODS_MS or request.GET.get("q"):
            return queryset
        now_ms = time.time_ns() // 1_000_000
        return queryset.filter(pk__gte=id_floor(now_ms - PERIODS_MS[period]))


class ReadOnlyAdmin(OfficeAdmin):
    """A read-only list for everybody, newest first; its search finds exact numbers."""

    actions: Any = None
    ordering = ("-pk",)
    show_full_result_count = False
    paginator = BoundedPaginator
    list_per_page = 100
    number_fields: tuple[str, ...] = ("pk",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Make Django show the search box; `get_search_results` does the search."""
        return self.number_fields

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find exact numbers in `number_fields`: a text search would read every partition."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if not term.isascii() or not term.isdigit() or int(term) >= 1 << 63:
            return queryset.none(), False
        found = queryset.none()
        for field in self.number_fields:
            found |= queryset.filter(**{field: int(term)})
        return found, False


class PartitionedAdmin(ReadOnlyAdmin):
    """A read-only list of a table that is partitioned by ranges of its id."""

    list_filter: ClassVar[Any] = (PeriodFilter,)
