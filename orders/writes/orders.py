"""Placing and cancelling orders: each checked request becomes a job of intake.

Every accepted request is a committed row before it is answered. Refusals are DomainErrors.
"""

import time
from collections.abc import Iterable, Mapping
from functools import cache, partial
from typing import Any, Final, NamedTuple

from msgspec import Struct

from exchange.access.principals import Principal
from exchange.domain.codes import Code
from exchange.domain.enums import CommandKind, Side
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.infra.lookups import here_or_thread
from exchange.infra.metrics import ORDERS_ACCEPTED
from exchange.selectors import catalogue, symbol_by_id, symbol_known
from orders.commands.build import BOTH_SIDES, cancel_all_command
from orders.intake.decisions import conflict
from orders.intake.jobs import (
    SIDE_CODES,
    Accepted,
    Build,
    CommandJob,
    PlaceJob,
    Replayed,
    cancel_job,
)
from orders.intake.process import intake_started
from orders.reads.orders import client_order_find, order_of_account, symbols_with_open_orders
from orders.recovery.availability import symbol_taking
from orders.validation.fingerprint import fingerprint_of
from orders.validation.orders import client_order_id_check, draft_build
from orders.validation.requests import OrderRequest
from orders.validation.states import NO_CANCELS, cancel_state_check
from orders.validation.terms import expiry_check
from risk.limits.open_orders import open_orders_max_of
from risk.pretrade.drafts import OrderDraft
from risk.pretrade.services import draft_check

_accepted: Final = cache(ORDERS_ACCEPTED.labels)  # to find the symbol's counter costs as much again


class UnderWay(NamedTuple):
    """A durable command that the engine has not applied yet, and its order as the row stands."""

    command_id: int
    order: Mapping[str, Any]


class Placed(Struct, frozen=True):
    """An order as its row stands; `is_replay` if an earlier request was accepted for it."""

    order: Mapping[str, Any]
    symbol: str
    is_replay: bool


async def order_place(principal: Principal, request: OrderRequest) -> Placed:
    """Accept an order durably, or return the order that already has its client order id.

    Raises the first refusal, order.client_id_conflict if the order of that id has other parameters,
    and what Intake.submit raises.
    """
    asked = await here_or_thread(_place_begin, principal, request)
    if isinstance(asked, Placed):
        return asked
    return placed_of(asked, await (await intake_started()).submitted(asked))


def _place_begin(principal: Principal, request: OrderRequest) -> PlaceJob | Placed:
    """Return the job of the checked order, or the order accepted earlier with its client id."""
    account_id = account_of(principal)
    try:
        return order_job(principal, request)
    except DomainError as refusal:
        client_order_id_check(request.client_order_id)  # nothing can have an invalid one
        known = client_order_find(account_id=account_id, client_order_id=request.client_order_id)
        return replayed(known, request, refusal)


def order_job(principal: Principal, request: OrderRequest) -> PlaceJob:
    """Return the job of a new order: everything is checked that needs no lock.

    Raises the first refusal.
    """
    client_order_id_check(request.client_order_id)
    rules = symbol_taking(request.symbol)
    draft = draft_of(principal, request, rules)
    return place_job(principal, draft=draft, rules=rules, fingerprint=fingerprint_of(request))


def placed_of(job: PlaceJob, outcome: Accepted | Replayed) -> Placed:
    """Return the order of a job that intake accepted or answered again."""
    assert outcome.order is not None
    code = job.rules.units.code
    is_replay = isinstance(outcome, Replayed)
    if not is_replay:
        _accepted(code).inc()
    return Placed(outcome.order, code, is_replay)


def draft_of(
    principal: Principal, request: OrderRequest, rules: SymbolRules, *, is_pending: bool = False
) -> OrderDraft:
    """Return the checked draft of a request, with its protective price if it has one.

    `is_pending`: the order waits for its parent's fill and does not meet the book now.
    """
    draft = draft_build(request, rules, self_trade=principal.self_trade)
    if draft.terms is not None:
        expiry_check(draft, time.time_ns() // 1_000_000)
    return draft_check(
        draft,
        rules,
        is_suspended=principal.is_suspended,
        may_self_trade=principal.may_self_trade,
        is_pending=is_pending,
    )


def place_job(
    principal: Principal, *, draft: OrderDraft, rules: SymbolRules, fingerprint: str
) -> PlaceJob:
    """Return the job of a checked draft, with the fee rates that the order keeps for its life."""
    account_id = account_of(principal)
    fees = catalogue().fee_rates(tier_id=principal.tier_id, symbol_id=draft.symbol_id)
    return PlaceJob(
        account_id=account_id,
        draft=draft,
        rules=rules,
        maker_fee_ppm=fees.maker_ppm,
        taker_fee_ppm=fees.taker_ppm,
        fingerprint=fingerprint,
        open_orders_max=open_orders_max_of(account_id, rules),
        group_id=principal.group_id,
        owner_tag=principal.key_number,
    )


def replayed(
    known: Mapping[str, Any] | None, request: OrderRequest, refusal: DomainError
) -> Placed:
    """Return the order of a repeated request, which the market may refuse now; else raise.

    `known` is the order that has the request's client order id, with its fingerprint.
    """
    if known is None:
        raise refusal
    if bytes(known["fingerprint"]).hex() != fingerprint_of(request):
        raise conflict()
    return Placed(known, known["symbol"], is_replay=True)


async def order_cancel(principal: Principal, *, order_id: int) -> UnderWay:
    """Accept a cancel of an order durably.

    Raises order.not_found, order.not_open, and symbol.in_auction shortly before an auction's end.
    """
    job = await here_or_thread(cancel_begin, principal, order_id)
    return under_way(await (await intake_started()).submitted(job))


def cancel_begin(principal: Principal, order_id: int) -> CommandJob:
    """Return the job of a cancel. Raises symbol.in_auction shortly before an auction's end."""
    account_id = account_of(principal)
    if NO_CANCELS in catalogue().states:  # rare, so the order's symbol is read only here
        order = order_of_account(order_id=order_id, account_id=account_id)
        cancel_state_check(symbol_by_id(order["symbol_id"]))
    return cancel_job(order_id, account_id=account_id, requested_by=principal.user_id)


def under_way(outcome: Accepted | Replayed) -> UnderWay:
    """Return the command that intake accepted, with its order."""
    assert isinstance(outcome, Accepted)
    assert outcome.order is not None
    return UnderWay(outcome.command_id, outcome.order)


async def orders_cancel_all(
    principal: Principal,
    *,
    symbol: str | None = None,
    side: str | None = None,
    own_key: bool = False,
) -> dict[str, int]:
    """Accept a cancel-all for `symbol`, or for each symbol in which the account has orders.

    Returns the ids of the commands by symbol. `own_key` limits them to orders that the same API key
    placed. Shortly before an auction's end a symbol takes no cancels: a named symbol is then
    refused, any other is left out.
    """
    return await submitted_by_symbol(
        await here_or_thread(_cancel_all_begin, principal, symbol, side, own_key)
    )


async def submitted_by_symbol(jobs: Mapping[str, CommandJob]) -> dict[str, int]:
    """Submit one job a symbol together; return the ids of their commands by symbol code."""
    command_ids = await (await intake_started()).submitted_together(list(jobs.values()))
    return dict(zip(jobs, command_ids, strict=True))


def jobs_by_symbol(
    principal: Principal, kind: CommandKind, build: Build, symbols: Iterable[SymbolRules]
) -> dict[str, CommandJob]:
    """Return a job of this kind for each symbol, by symbol code."""
    return {
        rules.units.code: CommandJob(
            kind,
            build,
            symbol_id=rules.units.symbol_id,
            partition_id=rules.partition_id,
            account_id=account_of(principal),
            requested_by=principal.user_id,
        )
        for rules in symbols
    }


def _cancel_all_begin(
    principal: Principal, symbol: str | None, side: str | None, own_key: bool
) -> dict[str, CommandJob]:
    """Return the jobs of a cancel-all by symbol code."""
    account_id = account_of(principal)
    side_code = _side_code(side)
    if own_key and not principal.key_number:
        rule = "only for requests that an API key signs"
        raise DomainError(Code.REQUEST_FIELD_INVALID, field="key", rule=rule)
    if symbol is not None:
        named = symbol_known(symbol)
        cancel_state_check(named)
        taking = [named]
    else:
        taking = [symbol_by_id(symbol_id) for symbol_id in symbols_with_open_orders(account_id)]
        taking = [rules for rules in taking if rules.state is not NO_CANCELS]
    build = partial(
        cancel_all_command,
        account_id=account_id,
        side=side_code,
        owner_tag=principal.key_number if own_key else 0,
    )
    return jobs_by_symbol(principal, CommandKind.CANCEL_ALL, build, taking)


def _side_code(side: str | None) -> int:
    if side is None:
        return BOTH_SIDES
    if side not in SIDE_CODES:
        raise DomainError(Code.REQUEST_FIELD_INVALID, field="side", rule="one of buy, sell")
    return SIDE_CODES[Side(side)]


def account_of(principal: Principal) -> int:
    """Return the account that a principal trades for. Raises account.missing if it has none."""
    if not principal.account_id:
        raise DomainError(Code.ACCOUNT_MISSING)
    return principal.account_id
