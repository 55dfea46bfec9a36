"""What a batch of intake has read, and what is decided of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from orders.intake.amends import Linked, Reserved
from orders.intake.funds import AssetKey
from orders.intake.jobs import (
    Accepted,
    AcceptedList,
    Job,
    ListJob,
    PlaceJob,
    Replayed,
)
from orders.intake.rows import (
    AmendReservationRow,
    ClaimRow,
    CommandRow,
    ListRow,
    OrderRow,
    TakenRow,
)

StreamEntry = tuple[int, bytes]  # partition id, encoded command
ClientKey = tuple[int, str]


@dataclass(slots=True)
class BatchReads:
    """The rows that a batch has read; its balances and reservations are locked."""

    claimed: set[int] = field(default_factory=set)  # ids of orders whose claim is new
    available: dict[AssetKey, tuple[int, Decimal]] = field(default_factory=dict)
    busy: set[AssetKey] = field(default_factory=set)  # balances that exist but were not locked
    barred: set[int] = field(default_factory=set)  # accounts that may only cancel
    open_orders: dict[tuple[int, int], int] = field(default_factory=dict)
    orders: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    reservations: dict[int, Reserved] = field(default_factory=dict)
    linked: dict[int, Linked] = field(default_factory=dict)  # lists, by each amended order in one


@dataclass(slots=True)
class Decisions:
    """The rows and answers of a batch. Outcomes are given after the commit."""

    outcomes: list[tuple[Job, Accepted | AcceptedList | Replayed | DomainError]] = field(
        default_factory=list
    )
    deferred: list[Job] = field(default_factory=list)
    # Jobs that are answered with orders in the database.
    repeated: list[PlaceJob | ListJob] = field(default_factory=list)
    entries: list[StreamEntry] = field(default_factory=list)
    orders: list[OrderRow] = field(default_factory=list)  # plain ones
    special_orders: list[OrderRow] = field(default_factory=list)  # with terms, or of a list
    lists: list[ListRow] = field(default_factory=list)
    commands: list[CommandRow] = field(default_factory=list)
    amend_reservations: list[AmendReservationRow] = field(default_factory=list)
    unclaims: list[ClaimRow] = field(default_factory=list)
    taken: list[TakenRow] = field(default_factory=list)


def client_key(job: PlaceJob) -> ClientKey:
    """Return the key that is unique to a client's order: account id and client order id."""
    return job.account_id, job.draft.client_order_id


def conflict(field: str = "client_order_id") -> DomainError:
    """Return the refusal of a client order id that an order with other parameters has."""
    return DomainError(Code.ORDER_CLIENT_ID_CONFLICT, field=field)


def list_conflict(index: int) -> DomainError:
    """Return the same refusal for the order at `index` of a list."""
    return conflict(f"orders.{index}.client_order_id")
