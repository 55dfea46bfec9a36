"""Commands rebuilt from rows; they equal the commands that intake published for these rows."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import structlog

from exchange.domain.enums import LIMIT_TYPES, ListKind, OrderType
from exchange.domain.ids import id_time_ms
from exchange.domain.units import SymbolUnits
from matching.engine.messages import (
    IOC,
    Command,
    Continue,
    Expire,
    Place,
    PlaceList,
    RefuseFaulty,
)
from matching.state.codec import decode_command
from orders.commands.build import place_command, place_list_command
from orders.commands.columns import TERMS_JSON, terms_from_row
from orders.commands.words import LIST_KINDS, SELF_TRADES, SIDES, TIMES_IN_FORCE

# Exceptions that reading a malformed row raises.
UNREADABLE: Final = (AssertionError, ArithmeticError, LookupError, TypeError, ValueError)

# The columns that command_from_order_row reads.
ORDER_COLUMNS: Final = f"""
id, account_id, symbol_id, side, type, time_in_force, post_only, self_trade, price, bound_price,
quantity, quote_amount, list_id, group_id, owner_tag, {TERMS_JSON} AS terms"""

log = structlog.get_logger(__name__)


def command_from_order_row(row: Mapping[str, Any], units: SymbolUnits) -> Place:
    """Return the command that enters an order, from its row (see ORDER_COLUMNS).

    The row of an amended order gives the command that would enter the order as amended.
    """
    is_market = row["type"] not in LIMIT_TYPES
    quantity: Decimal | None = row["quantity"]
    terms: Mapping[str, Any] | None = row["terms"]  # nearly always None
    price: Decimal = row["bound_price"] if is_market else row["price"]
    return place_command(
        order_id=row["id"],
        symbol_id=row["symbol_id"],
        account_id=row["account_id"],
        side=SIDES[row["side"]],
        price_ticks=units.price_ticks(price),
        quantity_lots=units.quantity_lots(quantity) if quantity is not None else 0,
        time_in_force=IOC if is_market else TIMES_IN_FORCE[row["time_in_force"]],
        post_only=row["post_only"],
        market=is_market,
        budget_ticklots=_budget_ticklots(row["quote_amount"], units),
        self_trade=SELF_TRADES[row["self_trade"]],
        group_id=row["group_id"],
        owner_tag=row["owner_tag"],
        terms=None if terms is None else terms_from_row(OrderType(row["type"]), terms, units),
    )


def list_from_rows(kind: str, rows: Sequence[Mapping[str, Any]], units: SymbolUnits) -> PlaceList:
    """Return the command that enters a list, from the rows of its orders by ascending id."""
    first = rows[0]
    assert len(rows) == (3 if kind == ListKind.OTOCO else 2)
    assert len({(row["account_id"], row["symbol_id"]) for row in rows}) == 1
    return place_list_command(
        list_id=first["list_id"],
        symbol_id=first["symbol_id"],
        kind=LIST_KINDS[ListKind(kind)],
        orders=[command_from_order_row(row, units) for row in rows],
    )


def command_from_row(
    command_id: int, symbol_id: int, order_id: int | None, payload: bytes
) -> Command:
    """Return the command of a row of orders_command, or a RefuseFaulty if it is unreadable."""
    try:
        command = decode_command(payload)
        assert (command.command_id, command.symbol_id) == (command_id, symbol_id)
        assert not isinstance(command, Place | PlaceList | Expire | Continue), "it has no such row"
    except UNREADABLE as error:
        # An exception here would stop the whole partition at every start because of one row.
        log.critical("matching.command_unreadable", command_id=command_id, error=repr(error))
        time_ms = id_time_ms(command_id)
        return RefuseFaulty(command_id, time_ms, symbol_id, order_id or 0, False)
    return command


def _budget_ticklots(quote_amount: Decimal | None, units: SymbolUnits) -> int:
    """Return the tick-lots a quote amount pays for, rounded down: never more than was reserved."""
    if quote_amount is None:
        return 0
    atoms = int(quote_amount.scaleb(units.quote_scale))
    return atoms // units.quote_atoms_per_ticklot
