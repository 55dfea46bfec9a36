"""Amending an order: its new terms are checked, and what they need more is reserved."""

from collections.abc import Mapping
from typing import Any

from exchange.access.principals import Principal
from exchange.domain.enums import Side
from exchange.domain.symbol_rules import SymbolRules
from exchange.infra.lookups import here_or_thread
from exchange.selectors import listing_check, symbol_by_id
from orders.intake.jobs import AmendJob
from orders.intake.process import intake_started
from orders.reads.look_ups import order_look_up
from orders.recovery.availability import served_check
from orders.validation.amends import (
    AmendedOrder,
    AmendTerms,
    amend_check,
    amend_terms,
    amended_order,
    bound_check,
    bound_ticks_after,
    is_more,
)
from orders.validation.requests import AmendRequest
from orders.validation.states import amend_state_check
from orders.writes.orders import UnderWay, account_of, under_way
from risk.pretrade.rules import slipped_ticks, user_check
from risk.pretrade.services import price_check


async def order_amend(principal: Principal, *, order_id: int, request: AmendRequest) -> UnderWay:
    """Reserve what new terms may need and accept the amend durably.

    Raises account.suspended, order.not_found, order.not_open, order.amend_pending, what
    validation refuses, and funds.insufficient.
    """
    account_id = account_of(principal)
    user_check(is_suspended=principal.is_suspended)
    order = await order_look_up(order_id=order_id, account_id=account_id)
    job = await here_or_thread(_amend_begin, order, request)
    return under_way(await (await intake_started()).submitted(job))


def _amend_begin(order: Mapping[str, Any], request: AmendRequest) -> AmendJob:
    rules = symbol_by_id(order["symbol_id"])
    amend_state_check(rules)
    served_check(rules)
    amended = amended_order(order, rules.units)
    terms = _amend_terms(request, amended, rules)
    if is_more(terms, amended):
        listing_check(rules)
    return AmendJob(
        account_id=order["account_id"],
        order_id=order["id"],
        side=Side(order["side"]),
        rules=rules,
        terms=terms,
        keep_priority=request.keep_priority,
    )


def _amend_terms(request: AmendRequest, order: AmendedOrder, rules: SymbolRules) -> AmendTerms:
    """Return the checked terms; a new stop price moves the usual bound of the old stop price."""
    terms = amend_terms(request, rules)
    amend_check(terms, order, rules)
    if terms.price_ticks and order.meets_the_book:
        price_check(order.side, terms.price_ticks, rules)
    if terms.stop_ticks and order.bound_ticks:
        usual, new_usual = (
            slipped_ticks(order.side, ticks, rules)
            for ticks in (order.stop_ticks, terms.stop_ticks)
        )
        terms = terms._replace(price_ticks=bound_ticks_after(order, usual, new_usual))
        bound_check(terms, order, rules)
    return terms
