"""Answers to requests whose client ids already have orders (L7). No I/O."""

from collections.abc import Mapping, Sequence
from typing import Any

from exchange.domain.errors import DomainError
from orders.intake.decisions import Decisions, client_key, conflict, list_conflict
from orders.intake.jobs import AcceptedList, ListJob, PlaceJob, Replayed

Row = Mapping[str, Any]


def answer_repeated(decisions: Decisions, found: Sequence[Row]) -> None:
    """Answer repeated jobs with the orders found; defer a job whose client id is free again."""
    by_key = {(row["account_id"], row["client_order_id"]): row for row in found}
    for job in decisions.repeated:
        places = job.places if isinstance(job, ListJob) else [job]
        rows = [by_key[key] for key in map(client_key, places) if key in by_key]
        if len(rows) < len(places):  # the client id was forgotten since the claim
            decisions.deferred.append(job)
        elif isinstance(job, ListJob):
            decisions.outcomes.append((job, list_repeated(job, rows)))
        else:
            decisions.outcomes.append((job, _order_repeated(job, rows[0])))


def _order_repeated(job: PlaceJob, row: Row) -> Replayed | DomainError:
    return Replayed(row) if is_same(row, job.fingerprint) else conflict()


def list_repeated(job: ListJob, rows: Sequence[Row]) -> AcceptedList | DomainError:
    """Return the list of these orders, or a refusal that names the first order that differs."""
    for index, (place, row) in enumerate(zip(job.places, rows, strict=True)):
        if not is_same(row, place.fingerprint):
            return list_conflict(index)
    list_id: int = rows[0]["list_id"]
    return AcceptedList(list_id, job.kind, rows, is_replay=True)


def is_same(row: Row, fingerprint: str) -> bool:
    """Whether the order was requested with this fingerprint."""
    return bytes(row["fingerprint"]).hex() == fingerprint
