"""Batches of independent orders and cancels: one wait and one commit, each decided for itself.

A batch saves round trips and nothing else: its parts are accepted and refused as if they had come
one after the other. Orders that must be accepted together are a list (orders/writes/lists.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from exchange.access.principals import Principal
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.lookups import here_or_thread
from orders.intake.jobs import Accepted, CommandJob, Job, Outcome, PlaceJob, Replayed
from orders.intake.process import intake_started
from orders.reads.orders import client_orders_find
from orders.validation.orders import is_client_order_id
from orders.validation.requests import OrderRequest
from orders.writes.orders import (
    Placed,
    UnderWay,
    account_of,
    cancel_begin,
    order_job,
    placed_of,
    replayed,
    under_way,
)

BATCH_ORDERS_MAX: Final = 50

Wanted = OrderRequest | DomainError  # an order, or why it could not be read
WantedCancel = int | str | DomainError  # an order id, a client order id, or why it is neither
Begun = PlaceJob | Placed | DomainError


async def orders_place(
    principal: Principal, wanted: Sequence[Wanted]
) -> list[Placed | DomainError]:
    """Accept each order durably, or return its refusal; the results come in the same order.

    The orders reach intake together and in this order. Raises account.missing, and engine.busy when
    the queue has no room for all: then none was taken.
    """
    account_id = account_of(principal)
    begun = await here_or_thread(_orders_begin, principal, wanted)
    begun = await here_or_thread(_repetitions, account_id, wanted, begun)
    jobs = [one for one in begun if isinstance(one, PlaceJob)]
    outcomes = await _submitted(jobs)
    return [_placed(one, outcomes[one]) if isinstance(one, PlaceJob) else one for one in begun]


def _orders_begin(principal: Principal, wanted: Sequence[Wanted]) -> list[Begun]:
    return [_order_begin(principal, one) for one in wanted]


def _order_begin(principal: Principal, wanted: Wanted) -> PlaceJob | DomainError:
    if isinstance(wanted, DomainError):
        return wanted
    try:
        return order_job(principal, wanted)
    except DomainError as refusal:
        return refusal


def _repetitions(account_id: int, wanted: Sequence[Wanted], begun: list[Begun]) -> list[Begun]:
    """Put the orders of repeated requests, which the market may refuse now, in their refusals."""
    refused = {
        one.client_order_id: index
        for index, one in enumerate(wanted)
        if isinstance(one, OrderRequest)
        and isinstance(begun[index], DomainError)
        and is_client_order_id(one.client_order_id)
    }
    result = list(begun)
    if not refused:
        return result
    for client_order_id, known in client_orders_find(account_id, list(refused)).items():
        index = refused[client_order_id]
        result[index] = _repetition(known, wanted[index], begun[index])
    return result


def _repetition(known: Mapping[str, Any], request: Wanted, refusal: Begun) -> Placed | DomainError:
    assert isinstance(request, OrderRequest)
    assert isinstance(refusal, DomainError)
    try:
        return replayed(known, request, refusal)
    except DomainError as conflict:
        return conflict


def _placed(job: PlaceJob, outcome: Outcome) -> Placed | DomainError:
    if isinstance(outcome, DomainError):
        return outcome
    assert isinstance(outcome, Accepted | Replayed), outcome
    return placed_of(job, outcome)


async def orders_cancel(
    principal: Principal, wanted: Sequence[WantedCancel]
) -> list[UnderWay | DomainError]:
    """Accept a cancel of each order durably, or return its refusal; the results keep the order.

    Raises what `orders_place` raises.
    """
    begun = await here_or_thread(_cancels_begin, principal, wanted)
    outcomes = await _submitted([one for one in begun if isinstance(one, CommandJob)])
    return [_sent(outcomes[one]) if isinstance(one, CommandJob) else one for one in begun]


def _cancels_begin(
    principal: Principal, wanted: Sequence[WantedCancel]
) -> list[CommandJob | DomainError]:
    account_id = account_of(principal)
    client_order_ids = [one for one in wanted if isinstance(one, str)]
    known = client_orders_find(account_id, client_order_ids) if client_order_ids else {}
    return [_cancel_begin(principal, one, known) for one in wanted]


def _cancel_begin(
    principal: Principal, wanted: WantedCancel, known: Mapping[str, Mapping[str, Any]]
) -> CommandJob | DomainError:
    if isinstance(wanted, DomainError):
        return wanted
    if isinstance(wanted, str):
        if wanted not in known:
            return DomainError(Code.ORDER_NOT_FOUND)
        wanted = int(known[wanted]["id"])
    try:
        return cancel_begin(principal, wanted)
    except DomainError as refusal:
        return refusal


def _sent(outcome: Outcome) -> UnderWay | DomainError:
    if isinstance(outcome, DomainError):
        return outcome
    assert isinstance(outcome, Accepted), outcome
    return under_way(outcome)


async def _submitted(jobs: Sequence[Job]) -> dict[Job, Outcome]:
    """Queue all jobs, wait for them together, and return each one's outcome."""
    if not jobs:
        return {}
    return dict(zip(jobs, await (await intake_started()).submitted_all(jobs), strict=True))
