"""Writes of orders: what a request means, and what intake is asked to do for it.

Everything here ends in a row before it is answered. Refusals are DomainErrors.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from exchange.api.keys import Principal
from exchange.domain.codes import Code
from exchange.domain.drafts import OrderDraft
from exchange.domain.enums import CommandKind, OrderType, SelfTradePrevention, Side, SymbolState
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.metrics import ORDERS_ACCEPTED, ORDERS_REFUSED
from exchange.selectors import catalogue
from orders.commands import BOTH_SIDES
from orders.intake.decide import conflict
from orders.intake.jobs import SIDE_CODES, Accepted, AmendJob, CommandJob, PlaceJob, Replayed
from orders.intake.thread import intake
from orders.selectors import client_order_find, order_of_account, symbols_with_open_orders
from orders.validation import (
    AmendRequest,
    OrderRequest,
    amend_terms,
    client_order_id_check,
    draft_build,
)
from risk.services import draft_check, price_check

FINGERPRINT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Placed:
    """An order as its row stands; `is_replay` when it was accepted by an earlier request."""

    order: Mapping[str, Any]
    symbol: str
    is_replay: bool


def symbol_rules_of(code: str) -> SymbolRules:
    """The rules of a listed symbol, or symbol.unknown."""
    rules = catalogue().symbols.get(code)
    if rules is None:
        raise DomainError(Code.SYMBOL_UNKNOWN, field="symbol", symbol=code[:25])
    return rules


def order_place(principal: Principal, request: OrderRequest) -> Placed:
    """Accept an order durably, or return the one that its client id already has.

    Raises the first refusal, order.client_id_conflict for an id with other parameters, and what
    Intake.submit raises.
    """
    try:
        placed = _place(principal, request)
    except DomainError as error:
        ORDERS_REFUSED.labels(error.code.value).inc()
        raise
    if not placed.is_replay:
        ORDERS_ACCEPTED.labels(placed.symbol).inc()
    return placed


def _place(principal: Principal, request: OrderRequest) -> Placed:
    client_order_id_check(request.client_order_id)
    account_id = _account_of(principal)
    fingerprint = fingerprint_of(request)
    try:
        rules = symbol_rules_of(request.symbol)
        draft = draft_check(
            draft_build(request, rules),
            rules,
            is_suspended=principal.is_suspended,
            may_self_trade=principal.may_self_trade,
        )
    except DomainError as refusal:
        return _repeated(account_id, request.client_order_id, fingerprint, refusal)
    job = place_job(
        account_id=account_id,
        tier_id=principal.tier_id,
        draft=draft,
        rules=rules,
        fingerprint=fingerprint,
    )
    outcome = intake().submit(job)
    assert outcome.order is not None
    return Placed(outcome.order, rules.units.code, isinstance(outcome, Replayed))


def place_job(
    *,
    account_id: int,
    tier_id: int | None,
    draft: OrderDraft,
    rules: SymbolRules,
    fingerprint: str,
) -> PlaceJob:
    """The job of a checked draft, with the fees that this account pays here from now on."""
    fees = catalogue().fee_rates(tier_id=tier_id, symbol_id=draft.symbol_id)
    return PlaceJob(
        account_id=account_id,
        draft=draft,
        rules=rules,
        maker_fee_ppm=fees.maker_ppm,
        taker_fee_ppm=fees.taker_ppm,
        fingerprint=fingerprint,
        open_orders_max=rules.open_orders_max,
    )


def _repeated(
    account_id: int, client_order_id: str, fingerprint: str, refusal: DomainError
) -> Placed:
    """What was accepted once stays so, even where the market would refuse it now."""
    known = client_order_find(account_id=account_id, client_order_id=client_order_id)
    if known is None:
        raise refusal
    if bytes(known["fingerprint"]).hex() != fingerprint:
        raise conflict()
    return Placed(known, known["symbol"], is_replay=True)


def fingerprint_of(request: OrderRequest) -> str:
    """Two requests with one fingerprint ask for the same order, however they spell its decimals."""
    kind = request.type
    default_time = "gtc" if kind == OrderType.LIMIT else "ioc"
    parts = (
        request.symbol,
        request.side,
        kind,
        request.time_in_force or default_time,
        str(request.post_only),
        request.self_trade_prevention or SelfTradePrevention.CANCEL_INCOMING.value,
        _spelled(request.price),
        _spelled(request.quantity),
        _spelled(request.quote_amount),
    )
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=FINGERPRINT_BYTES).hexdigest()


def _spelled(text: str | None) -> str:
    if text is None:
        return ""
    return text.rstrip("0").rstrip(".") if "." in text else text


def order_cancel(principal: Principal, *, order_id: int) -> Mapping[str, Any]:
    """Send a cancel on its way and return the order as it stands now.

    Raises order.not_found and order.not_open.
    """
    job = CommandJob(
        CommandKind.CANCEL,
        account_id=_account_of(principal),
        order_id=order_id,
        requested_by=principal.user_id,
    )
    outcome = intake().submit(job)
    assert outcome.order is not None
    return outcome.order


def orders_cancel_all(
    principal: Principal, *, symbol: str | None = None, side: str | None = None
) -> list[str]:
    """Send a cancel-all for each symbol in which the account has orders; return their codes."""
    account_id = _account_of(principal)
    side_code = _side_code(side)
    known = catalogue().symbols_by_id
    if symbol is not None:
        symbol_ids = [symbol_rules_of(symbol).units.symbol_id]
    else:
        symbol_ids = symbols_with_open_orders(account_id)
    for symbol_id in symbol_ids:
        job = CommandJob(
            CommandKind.CANCEL_ALL,
            symbol_id=symbol_id,
            partition_id=known[symbol_id].partition_id,
            account_id=account_id,
            side=side_code,
            requested_by=principal.user_id,
        )
        intake().submit(job)
    return [known[symbol_id].units.code for symbol_id in symbol_ids]


def _side_code(side: str | None) -> int:
    if side is None:
        return BOTH_SIDES
    if side not in SIDE_CODES:
        raise DomainError(Code.REQUEST_FIELD_INVALID, field="side", rule="one of buy, sell")
    return SIDE_CODES[Side(side)]


def order_amend(principal: Principal, *, order_id: int, request: AmendRequest) -> Mapping[str, Any]:
    """Reserve what new terms may need and send the amend on its way; return the order as it is.

    Raises order.not_found, order.not_open, order.amend_pending, what validation refuses, and
    funds.insufficient.
    """
    account_id = _account_of(principal)
    order = order_of_account(order_id=order_id, account_id=account_id)
    rules = catalogue().symbols_by_id[order["symbol_id"]]
    if rules.state is not SymbolState.OPEN:
        raise DomainError(Code.SYMBOL_HALTED, symbol=rules.units.code)
    price_ticks, quantity_lots = amend_terms(request, rules)
    if price_ticks:
        price_check(price_ticks, rules)
    outcome = intake().submit(
        AmendJob(
            account_id=account_id,
            order_id=order_id,
            side=Side(order["side"]),
            rules=rules,
            price_ticks=price_ticks,
            quantity_lots=quantity_lots,
            keep_priority=request.keep_priority,
        )
    )
    assert isinstance(outcome, Accepted)
    assert outcome.order is not None
    return outcome.order


def _account_of(principal: Principal) -> int:
    if not principal.account_id:  # staff without a trading account
        raise DomainError(Code.AUTH_SCOPE_MISSING, scope="account")
    return principal.account_id
