"""Market states: the early answer is the engine's, for every state and kind of order."""

from collections.abc import Iterator
from typing import Any

import pytest

from exchange.domain.codes import Code
from exchange.domain.enums import LIMIT_TYPES, SymbolState
from exchange.domain.errors import DomainError
from matching.engine.amends import amend
from matching.engine.book import Book
from matching.engine.core import Engine
from matching.engine.messages import IOC, Amend, CommandRefused, Event, Place, Terms
from matching.engine.states import state_refusal
from orders.commands.build import place_command
from orders.commands.words import SIDES, STATES, TIMES_IN_FORCE, TRIGGERS
from orders.validation.orders import draft_build
from orders.validation.states import amend_state_check, cancel_state_check
from risk.pretrade.drafts import OrderDraft
from tests.unit.orders.requests import FUTURE, NEEDED, request_of
from tests.unit.orders.test_validation import rules_make

STATE_WORDS = list(SymbolState)


def kinds() -> Iterator[dict[str, Any]]:
    """Each type with each time in force, post-only or not, by quote amount or not."""
    for kind in NEEDED:
        for word in ("gtc", "gtd", "ioc", "fok"):
            for post_only in (False, True):
                expires_at = FUTURE if word == "gtd" else None
                yield {
                    "kind": kind,
                    "time_in_force": word,
                    "expires_at": expires_at,
                    "post_only": post_only,
                }
    yield {"kind": "market", "side": "buy", "quantity": None, "quote_amount": "100"}


def draft_or_none(changes: dict[str, Any]) -> OrderDraft | None:
    """The draft of an order that an open symbol takes."""
    try:
        return draft_build(request_of(**changes), rules_make())
    except DomainError:
        return None


KINDS = [(changes, draft) for changes in kinds() if (draft := draft_or_none(changes)) is not None]


def command_of(draft: OrderDraft) -> Place:
    """The engine's view of a draft, as far as market states look at it."""
    is_market = draft.type not in LIMIT_TYPES
    command = place_command(
        order_id=1,
        symbol_id=1,
        account_id=1,
        side=SIDES[draft.side],
        price_ticks=1,
        quantity_lots=draft.quantity_lots,
        time_in_force=IOC if is_market else TIMES_IN_FORCE[draft.time_in_force],
        post_only=draft.post_only,
        market=is_market,
        budget_ticklots=draft.quote_atoms,
    )
    if draft.terms is not None:
        command.terms = Terms(trigger=TRIGGERS[draft.type])
    return command


def test_the_table_below_has_every_kind_of_order() -> None:
    # limit 4 + 2 post-only, two more limit types alike, three that trade as market orders 2 each,
    # market by quantity and by amount.
    assert len(KINDS) == 3 * 6 + 3 * 2 + 2


@pytest.mark.parametrize("state", STATE_WORDS)
@pytest.mark.parametrize(("changes", "draft"), KINDS)
def test_early_answer_is_the_engines(
    state: SymbolState, changes: dict[str, Any], draft: OrderDraft
) -> None:
    book = Book(1)
    book.state = STATES[state]
    expected = state_refusal(book, command_of(draft))
    rules = rules_make(state=state)
    if expected is None:
        assert draft_build(request_of(**changes), rules) == draft
        return
    with pytest.raises(DomainError) as refusal:
        draft_build(request_of(**changes), rules)
    assert (refusal.value.code, refusal.value.field) == (Code(expected), "symbol")
    assert refusal.value.params == {"symbol": "BTC-USDT"}


@pytest.mark.parametrize("state", STATE_WORDS)
def test_amends_are_refused_early_where_the_engine_refuses_them(state: SymbolState) -> None:
    engine = Engine()
    engine.restore(1, STATES[SymbolState.OPEN], ())
    book = engine.books[1]
    engine.apply(
        place_command(order_id=1, symbol_id=1, account_id=1, side=0, price_ticks=5, quantity_lots=5)
    )
    book.state = STATES[state]
    events: list[Event] = []
    amend(book, Amend(2, 0, 1, 1, price_ticks=4), 2, events)
    refused = events[0] if isinstance(events[0], CommandRefused) else None
    rules = rules_make(state=state)
    if refused is None:
        amend_state_check(rules)
        return
    with pytest.raises(DomainError) as refusal:
        amend_state_check(rules)
    assert refusal.value.code == refused.code


@pytest.mark.parametrize("state", STATE_WORDS)
def test_only_before_an_auctions_end_nothing_is_cancelled(state: SymbolState) -> None:
    rules = rules_make(state=state)
    if state is not SymbolState.AUCTION_CUTOFF:
        cancel_state_check(rules)
        return
    with pytest.raises(DomainError) as refusal:
        cancel_state_check(rules)
    assert refusal.value.code is Code.SYMBOL_IN_AUCTION
