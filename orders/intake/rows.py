"""The rows that a batch writes, as they travel to Postgres: one JSON array a statement.

Decimals are text in plain notation, so that nothing on the way can round them.
"""

import time
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from exchange.domain.enums import OrderStatus, Side, TimeInForce
from exchange.domain.ids import id_time_ms
from exchange.domain.units import atoms_to_decimal, plain
from matching.codec import encode_command
from matching.messages import Command, Place
from orders.commands import place_command
from orders.intake.jobs import PlaceJob
from orders.validation import budget_ticklots
from orders.words import SELF_TRADES, SIDES, TIMES_IN_FORCE

_encoder = msgspec.json.Encoder()


class ClaimRow(Struct):
    """A client order id on its way into orders_clientorderid."""

    account_id: int
    client_order_id: str
    order_id: int = 0
    fingerprint: str = ""


class BalanceKey(Struct, frozen=True):
    """Which balance an order needs."""

    account_id: int
    asset_id: int


class OpenOrdersKey(Struct, frozen=True):
    """Whose open orders are counted, and where."""

    account_id: int
    symbol_id: int


class TakenRow(Struct):
    """What a batch reserves of one balance."""

    id: int
    amount: str


class AmendHoldRow(Struct):
    """What an amend reserves on top, before it is sequenced."""

    order_id: int
    command_id: int
    amount: str


class CommandRow(Struct):
    """One row of orders_command."""

    id: int
    partition_id: int
    kind: str
    symbol_id: int
    account_id: int | None
    order_id: int | None
    payload: str
    requested_by: int | None
    note: str
    created_at: str
    reserved_extra: str = "0"


class OrderRow(Struct):
    """One row of orders_order and of wallets_reservation."""

    id: int
    account_id: int
    symbol_id: int
    client_order_id: str
    side: Side
    type: str
    time_in_force: TimeInForce
    post_only: bool
    self_trade: str
    price: str | None
    bound_price: str | None
    quantity: str | None
    quote_amount: str | None
    maker_fee_ppm: int
    taker_fee_ppm: int
    created_at: str
    asset_id: int
    price_ticks: int
    hold: str

    def columns(self) -> dict[str, Any]:
        """The order as a reader of orders_order will find it."""
        return {
            "id": self.id,
            "account_id": self.account_id,
            "symbol_id": self.symbol_id,
            "client_order_id": self.client_order_id,
            "side": self.side,
            "type": self.type,
            "time_in_force": self.time_in_force,
            "post_only": self.post_only,
            "self_trade": self.self_trade,
            "price": self.price,
            "bound_price": self.bound_price,
            "quantity": self.quantity,
            "quote_amount": self.quote_amount,
            "status": OrderStatus.NEW,
            "filled": "0",
            "filled_quote": "0",
            "reason": None,
            "maker_fee_ppm": self.maker_fee_ppm,
            "taker_fee_ppm": self.taker_fee_ppm,
            "created_at": self.created_at,
            "updated_at": self.created_at,
            "finished_at": None,
        }


def encode_rows(rows: list[Any]) -> str:
    """The rows as one JSON parameter."""
    return _encoder.encode(rows).decode()


def time_text(command_id: int) -> str:
    """When an id was made, as RFC 3339 UTC text with milliseconds."""
    seconds, milliseconds = divmod(id_time_ms(command_id), 1000)
    return f"{_second_text(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=4)
def _second_text(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def order_row(job: PlaceJob) -> OrderRow:
    """The rows of an accepted order; `command_id` is its id."""
    draft, units = job.draft, job.rules.units
    price = plain(units.price(draft.price_ticks))
    is_market = job.is_market
    return OrderRow(
        job.command_id,
        job.account_id,
        draft.symbol_id,
        draft.client_order_id,
        draft.side,
        draft.type,
        draft.time_in_force,
        draft.post_only,
        draft.self_trade,
        None if is_market else price,
        price if is_market else None,
        plain(units.quantity(draft.quantity_lots)) if draft.quantity_lots else None,
        plain(units.quote_decimal(draft.quote_atoms)) if draft.quote_atoms else None,
        job.maker_fee_ppm,
        job.taker_fee_ppm,
        time_text(job.command_id),
        job.hold_asset_id,
        draft.price_ticks,
        amount_text(job.hold_atoms, job.hold_scale),
    )


def place_of(job: PlaceJob) -> Place:
    """The command of an accepted order."""
    draft = job.draft
    return place_command(
        order_id=job.command_id,
        symbol_id=draft.symbol_id,
        account_id=job.account_id,
        side=SIDES[draft.side],
        price_ticks=draft.price_ticks,
        quantity_lots=draft.quantity_lots,
        time_in_force=TIMES_IN_FORCE[draft.time_in_force],
        post_only=draft.post_only,
        market=job.is_market,
        budget_ticklots=budget_ticklots(draft.quote_atoms, job.rules) if draft.quote_atoms else 0,
        self_trade=SELF_TRADES[draft.self_trade],
    )


def amount_text(atoms: int, scale: int) -> str:
    """Atoms as the decimal text that a NUMERIC column takes."""
    return plain(atoms_to_decimal(atoms, scale))


def command_payload(command: Command) -> bytes:
    """The bytes that travel, and that orders_command keeps."""
    return encode_command(command)
