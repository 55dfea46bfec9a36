"""What the intake thread is given, and what comes of it. A job is one client's request.

A job carries everything that was decided before it was queued; a batch fills in `outcome`.
Money is in atoms, prices in ticks, quantities in lots.
"""

import _thread
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from exchange.domain.drafts import OrderDraft
from exchange.domain.enums import CommandKind, OrderType, Side
from exchange.domain.symbol_rules import SymbolRules
from orders.commands import BOTH_SIDES
from wallets.fees import BUY, SELL, hold_atoms, hold_for_quote_amount

SIDE_CODES: Final = {Side.BUY: BUY, Side.SELL: SELL}


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request is durable. `order` has the columns of orders_order; none for a cancel-all."""

    command_id: int
    order: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """The same order was accepted before: this is it, as it stands now."""

    order: Mapping[str, Any]


Outcome = Accepted | Replayed | Exception


class Job:
    """Common to all jobs: who waits for it, until when, and what came of it."""

    __slots__ = ("_done", "command_id", "deferrals", "expires_at", "outcome")

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.command_id = 0
        self.deferrals = 0
        self.expires_at = 0.0
        # A bare lock as a one-shot event: a tenth of the cost of threading.Event.
        self._done = _thread.allocate_lock()
        self._done.acquire()

    def resolve(self) -> None:
        """Wake the one who waits; `outcome` is set and will not change."""
        assert self.outcome is not None
        self._done.release()

    def wait(self, timeout_s: float) -> bool:
        """Whether the outcome is there, waiting at most so long."""
        return self._done.acquire(timeout=timeout_s)

    def is_expired(self) -> bool:
        """Whether its client has stopped waiting: nothing may be begun for it any more."""
        return bool(self.expires_at) and time.monotonic() > self.expires_at


class PlaceJob(Job):
    """Enter an order: its draft, the fees frozen for it and what it has to hold."""

    __slots__ = (
        "account_id",
        "draft",
        "fingerprint",
        "hold_asset_id",
        "hold_atoms",
        "hold_scale",
        "maker_fee_ppm",
        "open_orders_max",
        "rules",
        "taker_fee_ppm",
    )

    def __init__(
        self,
        *,
        account_id: int,
        draft: OrderDraft,
        rules: SymbolRules,
        maker_fee_ppm: int,
        taker_fee_ppm: int,
        fingerprint: str,
        open_orders_max: int = 0,
    ) -> None:
        super().__init__()
        assert draft.price_ticks > 0
        units = rules.units
        self.account_id = account_id
        self.draft = draft
        self.rules = rules
        self.maker_fee_ppm = maker_fee_ppm
        self.taker_fee_ppm = taker_fee_ppm
        self.fingerprint = fingerprint
        self.open_orders_max = open_orders_max
        if draft.side is Side.BUY:
            self.hold_asset_id = units.quote_asset_id
            self.hold_scale = units.quote_scale
        else:
            self.hold_asset_id = units.base_asset_id
            self.hold_scale = units.base_scale
        self.hold_atoms = order_hold_atoms(draft, rules, taker_fee_ppm)

    @property
    def is_market(self) -> bool:
        return self.draft.type is OrderType.MARKET


def order_hold_atoms(draft: OrderDraft, rules: SymbolRules, taker_fee_ppm: int) -> int:
    """Atoms a new order has to hold; of the quote asset for a buy, of the base for a sell."""
    if draft.quote_atoms:
        return hold_for_quote_amount(draft.quote_atoms, taker_fee_ppm=taker_fee_ppm)
    return hold_atoms(
        SIDE_CODES[draft.side],
        draft.quantity_lots,
        draft.price_ticks,
        rules.units,
        0,
        taker_fee_ppm,
    )


class CommandJob(Job):
    """Cancel one order, cancel many, or change a symbol's state: nothing to reserve."""

    __slots__ = (
        "account_id",
        "kind",
        "note",
        "order_id",
        "partition_id",
        "requested_by",
        "side",
        "state",
        "symbol_id",
    )

    def __init__(
        self,
        kind: CommandKind,
        *,
        symbol_id: int = 0,
        partition_id: int = 0,
        account_id: int | None = None,
        order_id: int | None = None,
        side: int = BOTH_SIDES,
        state: int = 0,
        requested_by: int | None = None,
        note: str = "",
    ) -> None:
        super().__init__()
        assert kind is not CommandKind.AMEND
        assert kind is CommandKind.CANCEL or symbol_id
        self.kind = kind
        self.symbol_id = symbol_id
        self.partition_id = partition_id
        self.account_id = account_id
        self.order_id = order_id
        self.side = side
        self.state = state
        self.requested_by = requested_by
        self.note = note


class AmendJob(Job):
    """Give an order new terms; 0 leaves the price or the quantity as it is."""

    __slots__ = (
        "account_id",
        "hold_asset_id",
        "keep_priority",
        "order_id",
        "price_ticks",
        "quantity_lots",
        "rules",
        "side",
    )

    def __init__(
        self,
        *,
        account_id: int,
        order_id: int,
        side: Side,
        rules: SymbolRules,
        price_ticks: int,
        quantity_lots: int,
        keep_priority: bool,
    ) -> None:
        super().__init__()
        assert price_ticks or quantity_lots
        self.account_id = account_id
        self.order_id = order_id
        self.side = side
        self.rules = rules
        self.price_ticks = price_ticks
        self.quantity_lots = quantity_lots
        self.keep_priority = keep_priority
        units = rules.units
        self.hold_asset_id = units.quote_asset_id if side is Side.BUY else units.base_asset_id
