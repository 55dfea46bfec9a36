"""The rows that a batch writes, as they travel to Postgres: one JSON array a statement.

Decimals are text in plain notation, so that nothing on the way can round them.
"""

from typing import Any

import msgspec
from msgspec import Struct

from exchange.domain.enums import OrderStatus, Side, TimeInForce
from exchange.domain.ids import id_time_ms, time_ms_text
from exchange.domain.units import atoms_to_decimal, plain
from matching.engine.messages import Command
from matching.state.codec import encode_command
from orders.commands.columns import NO_TERMS_ROW

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


class AmendReservationRow(Struct):
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


class ListRow(Struct):
    """One row of orders_orderlist."""

    id: int
    account_id: int
    symbol_id: int
    kind: str
    created_at: str


class OrderRow(Struct, omit_defaults=True):
    """One row of orders_order and of wallets_reservation.

    The JSON of an order leaves out what only other orders have. `terms` are the columns of the
    order's terms, by name (orders/commands/columns.py); a plain order has none.
    """

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
    reserved: str
    reference_price: str | None = None
    list_id: int | None = None
    group_id: int = 0
    owner_tag: int = 0
    pool_id: int | None = None
    funded_by: int | None = None
    left_lots: int | None = None
    terms: dict[str, Any] | None = None

    def flat(self) -> dict[str, Any]:
        """The row with its terms beside its other columns, to be encoded."""
        row: dict[str, Any] = msgspec.to_builtins(self)
        row |= row.pop("terms", None) or {}
        return row

    def columns(self) -> dict[str, Any]:
        """The order as a reader of orders_order will find it."""
        columns = {
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
            "reference_price": self.reference_price,
            "quantity": self.quantity,
            "quote_amount": self.quote_amount,
            **NO_TERMS_ROW,
            "trail_stop_price": None,
            "trail_bound_price": None,
            "list_id": self.list_id,
            "group_id": self.group_id,
            "owner_tag": self.owner_tag,
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
        return columns if self.terms is None else columns | self.terms


def encode_rows(rows: list[Any]) -> str:
    """The rows as one JSON parameter."""
    return _encoder.encode(rows).decode()


def time_text(command_id: int) -> str:
    """When an id was made, as RFC 3339 UTC text with milliseconds."""
    return time_ms_text(id_time_ms(command_id))


def amount_text(atoms: int, scale: int) -> str:
    """Atoms as the decimal text that a NUMERIC column takes."""
    return plain(atoms_to_decimal(atoms, scale))


def command_payload(command: Command) -> bytes:
    """The bytes that travel, and that orders_command keeps."""
    return encode_command(command)
