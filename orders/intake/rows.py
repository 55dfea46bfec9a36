"""The rows that a batch sends to Postgres, as one JSON array for each statement.

Decimals are text in plain notation, so that no conversion can round them.
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
    """A row for orders_clientorderid: one client order id and its order."""

    account_id: int
    client_order_id: str
    order_id: int = 0
    fingerprint: str = ""


class BalanceKey(Struct, frozen=True):
    """The key of a balance that an order reserves from."""

    account_id: int
    asset_id: int


class OpenOrdersKey(Struct, frozen=True):
    """The account and symbol whose open orders are counted."""

    account_id: int
    symbol_id: int


class TakenRow(Struct):
    """The amount that a batch reserves from one balance."""

    id: int
    amount: str


class AmendReservationRow(Struct):
    """The amount that an amend reserves additionally, before it is sequenced."""

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
        """Return the row as one dict, with its terms as columns beside the others."""
        row: dict[str, Any] = msgspec.to_builtins(self)
        row |= row.pop("terms", None) or {}
        return row

    def columns(self) -> dict[str, Any]:
        """Return the columns of orders_order as a later read will return them."""
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
    """Encode rows as one JSON parameter."""
    return _encoder.encode(rows).decode()


def time_text(command_id: int) -> str:
    """Return the time in an id as RFC 3339 UTC text with milliseconds."""
    return time_ms_text(id_time_ms(command_id))


def amount_text(atoms: int, scale: int) -> str:
    """Format atoms as decimal text for a NUMERIC column."""
    return plain(atoms_to_decimal(atoms, scale))


def command_payload(command: Command) -> bytes:
    """Encode a command as the bytes that are published and stored in orders_command."""
    return encode_command(command)
