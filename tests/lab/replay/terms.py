"""Translate a flow's commands: to integers for the schedule, to JSON for the API. Pure.

A flow's orders are anonymous. One half of the accounts buys and the other sells, in turn, so the
two sides of a trade are never the same account.

Recordings contain limit orders at price 0, which the exchange does not allow. A sell at 0 takes any
bid, and so does a sell at one tick, the lowest price. A bid at 0 cannot trade: it is refused.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from config.demo.flow import FlowCommand
from matching.engine.messages import BUY, SELL
from tests.lab.replay.flow import FlowError
from tests.lab.replay.schedule import Step

SIDES: Final = {"buy": BUY, "sell": SELL}


@dataclass(frozen=True, slots=True)
class ReplayTerms:
    """The symbol of a replay, and the mark that makes this run's client order ids unique."""

    symbol: str
    tick: Decimal
    lot: Decimal
    run: str
    accounts_per_side: int

    def step(self, command: FlowCommand) -> Step:
        """Return the command in ticks and lots. Raises FlowError off the symbol's grid."""
        if command.action == "cancel":
            return Step(command.order_id, is_cancel=True)
        side = SIDES[command.side]
        lots = self._whole(command.quantity, self.lot, command)
        if command.quote_amount is not None:
            # One tick-lot is tick x lot of quote; a smaller rest of the amount buys nothing.
            budget = int(command.quote_amount / (self.tick * self.lot))
            return Step(command.order_id, False, side, budget_ticklots=budget)
        if command.price is None:
            return Step(command.order_id, False, side, quantity_lots=lots)
        ticks = self._whole(self._price(command), self.tick, command)
        is_post_only = command.type == "post_only"
        return Step(
            command.order_id,
            False,
            side,
            ticks,
            lots,
            0,
            is_post_only,
            is_void=not (ticks and lots),
        )

    def order(self, command: FlowCommand) -> dict[str, Any]:
        """Return the request body of a new order."""
        order: dict[str, Any] = {
            "symbol": self.symbol,
            "side": command.side,
            "type": "market" if command.type == "market" else "limit",
            "client_order_id": self.client_order_id(command.order_id),
        }
        if command.price is not None:
            order["price"] = format(self._price(command), "f")
        if command.quantity is not None:
            order["quantity"] = format(command.quantity, "f")
        if command.quote_amount is not None:
            order["quote_amount"] = format(command.quote_amount, "f")
        if command.type == "post_only":
            order["post_only"] = True
        return order

    def client_order_id(self, order_id: int) -> str:
        """Return the client order id of the flow's order, unique over all runs."""
        return f"{self.run}.{order_id}"

    def order_id(self, client_order_id: str) -> int:
        """Return the flow's order id of one of this run's client order ids."""
        run, _, order_id = client_order_id.partition(".")
        assert run == self.run
        return int(order_id)

    def _price(self, command: FlowCommand) -> Decimal:
        assert command.price is not None
        return max(self.tick, command.price) if command.side == "sell" else command.price

    def _whole(self, value: Decimal | None, unit: Decimal, command: FlowCommand) -> int:
        if value is None:
            return 0
        count = value / unit
        if count != int(count):
            raise FlowError(f"order {command.order_id}: {value} is not a multiple of {unit}")
        return int(count)


class AccountTurns:
    """Hand out accounts in turn: indices 0..n-1 to buys, n..2n-1 to sells."""

    def __init__(self, accounts_per_side: int) -> None:
        assert accounts_per_side > 0
        self._size = accounts_per_side
        self._next = {"buy": 0, "sell": 0}

    def take(self, side: str) -> int:
        """Return the index of the account for the next order of that side."""
        turn = self._next[side]
        self._next[side] = (turn + 1) % self._size
        return turn if side == "buy" else turn + self._size
