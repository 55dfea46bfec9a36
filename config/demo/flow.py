"""What a market does: the commands that reach a venue, and the trades that it makes of them."""

from decimal import Decimal
from typing import NamedTuple


class FlowCommand(NamedTuple):
    """One line of a flow. On a cancel only time, action and order id are set.

    `price` and `quantity` are in quote and base units; None where the column is empty.
    `time_ms` counts from the start of the recording and may be negative or step back a little:
    it paces a replay, the order of the lines is what counts.
    """

    time_ms: int
    action: str  # new | cancel
    order_id: int
    side: str = ""
    type: str = ""  # limit | post_only | market
    price: Decimal | None = None
    quantity: Decimal | None = None
    quote_amount: Decimal | None = None


class FlowTrade(NamedTuple):
    """One expected trade, as the venue made it."""

    time_ms: int
    price: Decimal
    quantity: Decimal
    buy_order_id: int
    sell_order_id: int
    taker_side: str

    @property
    def maker_order_id(self) -> int:
        """The order that was in the book first."""
        return self.sell_order_id if self.taker_side == "buy" else self.buy_order_id
