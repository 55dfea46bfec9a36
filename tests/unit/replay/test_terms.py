"""The replay's terms: a flow's commands as integers for the schedule, as JSON for the API."""

from decimal import Decimal

import pytest

from config.demo.flow import FlowCommand
from matching.engine.messages import BUY, SELL
from tests.lab.replay.flow import FlowError
from tests.lab.replay.schedule import Step
from tests.lab.replay.terms import AccountTurns, ReplayTerms

TERMS = ReplayTerms("BTC-USD", Decimal(1), Decimal("0.00000001"), "R7", 4)


def new(side: str, kind: str, price: str, quantity: str, quote: str = "") -> FlowCommand:
    values = [Decimal(text) if text else None for text in (price, quantity, quote)]
    return FlowCommand(0, "new", 17, side, kind, *values)


@pytest.mark.parametrize(
    ("command", "step"),
    [
        (new("buy", "limit", "10", "0.5"), Step(17, False, BUY, 10, 50_000_000)),
        (new("sell", "post_only", "10", "1"), Step(17, False, SELL, 10, 10**8, post_only=True)),
        (new("sell", "market", "", "1"), Step(17, False, SELL, 0, 10**8)),
        (
            new("buy", "market", "", "", "3"),
            Step(17, False, BUY, budget_ticklots=3 * 10**8),
        ),
        (new("sell", "limit", "0", "1"), Step(17, False, SELL, 1, 10**8)),
        (new("buy", "limit", "0", "1"), Step(17, False, BUY, 0, 10**8, is_void=True)),
        (FlowCommand(0, "cancel", 17), Step(17, is_cancel=True)),
    ],
    ids=["limit", "post-only", "market", "by amount", "sell at 0", "buy at 0", "cancel"],
)
def test_a_command_becomes_a_step(command: FlowCommand, step: Step) -> None:
    assert TERMS.step(command) == step


def test_a_command_off_the_grid_is_refused() -> None:
    with pytest.raises(FlowError, match="not a multiple"):
        TERMS.step(new("buy", "limit", "10.5", "1"))


def test_an_order_in_rest_form_is_plain_text() -> None:
    order = TERMS.order(new("sell", "post_only", "0", "0.00000001"))
    assert order == {
        "symbol": "BTC-USD",
        "side": "sell",
        "type": "limit",
        "post_only": True,
        "client_order_id": "R7.17",
        "price": "1",
        "quantity": "0.00000001",
    }
    assert TERMS.order_id("R7.17") == 17


def test_both_sides_never_share_an_account() -> None:
    turns = AccountTurns(4)
    buyers = {turns.take("buy") for _ in range(20)}
    sellers = {turns.take("sell") for _ in range(20)}
    assert buyers == {0, 1, 2, 3}
    assert sellers == {4, 5, 6, 7}
