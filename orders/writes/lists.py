"""Writes of lists of orders: place all of them or none, and cancel what is left of a list."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from exchange.access.principals import Principal
from exchange.domain.codes import Code
from exchange.domain.enums import ListKind, OrderStatus
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.domain.units import atoms_to_decimal, plain
from exchange.infra.lookups import here_or_thread
from exchange.infra.metrics import ORDERS_ACCEPTED
from exchange.selectors import symbol_by_id
from orders.intake.decisions import list_conflict
from orders.intake.jobs import Accepted, AcceptedList, CommandJob, ListJob, PlaceJob, cancel_job
from orders.intake.process import intake_started
from orders.intake.reservations import brought_in_atoms, is_covered
from orders.lifecycle import is_final
from orders.reads.lists import ListOfOrders, list_of_account
from orders.reads.orders import client_order_find
from orders.recovery.availability import symbol_taking
from orders.validation.fingerprint import FINGERPRINT_BYTES, fingerprint_of
from orders.validation.lists import in_list, list_check
from orders.validation.orders import client_order_id_check
from orders.validation.requests import OrderRequest, OrderTermsRequest
from orders.validation.states import cancel_state_check
from orders.writes.orders import account_of, draft_of, place_job
from wallets.fees import pool_atoms


class PlacedList(NamedTuple):
    """A list as its orders' rows stand; `is_replay` when an earlier request brought it."""

    placed: ListOfOrders
    is_replay: bool


async def list_place(
    principal: Principal, *, kind: ListKind, symbol: str, orders: Sequence[OrderTermsRequest]
) -> PlacedList:
    """Accept all orders of a list durably, or none; or return the list accepted before for it.

    Raises the first refusal, its field named as `orders.N.field`; order.client_id_conflict where
    a client order id is in use by anything but this same list; and what Intake.submit_list raises.
    """
    accepted = await here_or_thread(_place_begin, principal, kind, symbol, orders)
    if isinstance(accepted, ListJob):
        accepted = await (await intake_started()).submitted_list(accepted)
    if not accepted.is_replay:
        ORDERS_ACCEPTED.labels(symbol).inc(len(accepted.orders))
    placed = ListOfOrders(accepted.list_id, accepted.kind, symbol, accepted.orders)
    return PlacedList(placed, accepted.is_replay)


def _place_begin(
    principal: Principal, kind: ListKind, symbol: str, orders: Sequence[OrderTermsRequest]
) -> ListJob | AcceptedList:
    """Return the job of the checked list, or the list accepted earlier for the same request."""
    for index, order in enumerate(orders):
        try:
            client_order_id_check(order.client_order_id)
        except DomainError as error:
            raise in_list(error, index) from error
    list_check(kind, orders, self_trade=principal.self_trade)
    requests = [_with_symbol(order, symbol) for order in orders]
    fingerprints = list_fingerprints(kind, requests)
    try:
        rules = symbol_taking(symbol)
        job = _list_job(principal, kind, requests, fingerprints, rules)
        _cover_check(job)
    except DomainError as refusal:
        return _repeated(principal, kind, requests, fingerprints, refusal)
    return job


def _with_symbol(order: OrderTermsRequest, symbol: str) -> OrderRequest:
    return OrderRequest(symbol=symbol, **msgspec.structs.asdict(order))


def list_fingerprints(kind: ListKind, requests: Sequence[OrderRequest]) -> list[str]:
    """Return one fingerprint an order, taken over the whole list and the order's place in it.

    So the fingerprints of a single order, of another list, and of the same orders in another
    sequence all differ.
    """
    whole = [kind.value, *(fingerprint_of(one) for one in requests)]
    return [
        hashlib.blake2b(
            "\n".join([*whole, str(index)]).encode(), digest_size=FINGERPRINT_BYTES
        ).hexdigest()
        for index in range(len(requests))
    ]


def _list_job(
    principal: Principal,
    kind: ListKind,
    requests: Sequence[OrderRequest],
    fingerprints: Sequence[str],
    rules: SymbolRules,
) -> ListJob:
    places: list[PlaceJob] = []
    for index, request in enumerate(requests):
        is_pending = kind is not ListKind.OCO and index > 0
        try:
            draft = draft_of(principal, request, rules, is_pending=is_pending)
        except DomainError as error:
            raise in_list(error, index) from error
        fingerprint = fingerprints[index]
        places.append(place_job(principal, draft=draft, rules=rules, fingerprint=fingerprint))
    return ListJob(account_id=account_of(principal), kind=kind, places=places)


def _cover_check(job: ListJob) -> None:
    """Raise when the first order's fills would not pay for the orders that wait for them."""
    parent = job.parent
    if parent is None or is_covered(job):
        return
    child = job.children[0]
    units, scale = parent.rules.units, child.reserved_scale
    needed = pool_atoms(one.reservation_atoms for one in job.children)
    raise DomainError(
        Code.ORDER_LIST_NOT_COVERED,
        field="orders.1.quantity",
        needed=plain(atoms_to_decimal(needed, scale)),
        brings=plain(atoms_to_decimal(brought_in_atoms(parent), scale)),
        asset=units.asset_code(child.reserved_asset_id),
    )


def _repeated(
    principal: Principal,
    kind: ListKind,
    requests: Sequence[OrderRequest],
    fingerprints: Sequence[str],
    refusal: DomainError,
) -> AcceptedList:
    """Return the list of a repeated request, which the market may refuse now; else raise."""
    account_id = account_of(principal)
    known = [
        client_order_find(account_id=account_id, client_order_id=one.client_order_id)
        for one in requests
    ]
    for index, (row, fingerprint) in enumerate(zip(known, fingerprints, strict=True)):
        if row is not None and bytes(row["fingerprint"]).hex() != fingerprint:
            raise list_conflict(index)
    orders = [row for row in known if row is not None]
    if len(orders) < len(requests):
        raise refusal
    return AcceptedList(orders[0]["list_id"], kind, orders, is_replay=True)


class ListUnderWay(NamedTuple):
    """Durable cancels that the engine has not applied yet, and their list as its rows stand."""

    command_ids: Sequence[int]
    found: ListOfOrders


async def list_cancel(principal: Principal, *, list_id: int) -> ListUnderWay:
    """Accept a cancel of each live order of the list durably.

    Each order gets a cancel, although the end of one mostly ends the others: the rows are a moment
    late, and no order may be left. Raises order.list_not_found, order.not_open when all orders have
    ended, and symbol.in_auction shortly before an auction's end.
    """
    found, jobs = await here_or_thread(_cancel_begin, principal, list_id)
    outcomes = await (await intake_started()).submitted_all(jobs)
    refusals = [one for one in outcomes if isinstance(one, Exception)]
    for refusal in refusals:
        ended = isinstance(refusal, DomainError) and refusal.code is Code.ORDER_NOT_OPEN
        if not ended or len(refusals) == len(outcomes):
            raise refusal
    sent = [one.command_id for one in outcomes if isinstance(one, Accepted)]
    return ListUnderWay(sent, found)


def _cancel_begin(principal: Principal, list_id: int) -> tuple[ListOfOrders, list[CommandJob]]:
    """Return the list and the job of each of its live orders."""
    account_id = account_of(principal)
    found = list_of_account(list_id=list_id, account_id=account_id)
    cancel_state_check(symbol_by_id(found.orders[0]["symbol_id"]))
    live = [row for row in found.orders if not is_final(OrderStatus(row["status"]))]
    if not live:
        status = found.orders[0]["status"]
        raise DomainError(Code.ORDER_NOT_OPEN, order_status=status)
    by = principal.user_id
    return found, [cancel_job(row["id"], account_id=account_id, requested_by=by) for row in live]
