"""What a flow's commands become here: integers for the schedule, JSON for the API. Pure.

A flow's orders are anonymous. All buys go to one half of the accounts and all sells to the other,
in turn, so that the two sides of a trade are never the same account, whatever trades.

Recordings hold limit orders at price 0, which is no price here. A sell at 0 takes any bid: at one
tick, the lowest price there is, it does the same. A bid at 0 cannot trade: it is sent and refused.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from config.demo.flow import FlowCommand, FlowError
from matching.engine.messages import BUY, SELL
from tests.lab.replay.schedule import Step

SIDES: Final = {"buy": BUY, "sell": SELL}


@dataclass(frozen=True, slots=True)
class ReplayTerms:
    """The symbol a flow is replayed on, and the mark that sets this run's order ids apart."""

    symbol: str
    tick: Decimal
    lot: Decimal
    run: str
    accounts_per_side: int

    def step(self, command: FlowCommand) -> Step:
        """The command in ticks and lots. Raises FlowError where it is off the symbol's grid."""
        if command.action == "cancel":
            return Step(command.order_id, is_cancel=True)
        side = SIDES[command.side]
        lots = self._whole(command.quantity, self.lot, command)
        if command.quote_amount is not None:
            # One tick-lot is tick x lot of quote; what is left of the amount buys nothing.
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
        """The REST form of a new order."""
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
        """Our name for the venue's order: unique over all runs."""
        return f"{self.run}.{order_id}"

    def order_id(self, client_order_id: str) -> int:
        """The venue's order behind one of this run's names."""
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
        """The index of the account for the next order of that side."""
        turn = self._next[side]
        self._next[side] = (turn + 1) % self._size
        return turn if side == "buy" else turn + self._size
