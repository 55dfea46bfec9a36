"""Commands out of rows: the very ones that intake published when it wrote them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import structlog

from exchange.domain.enums import LIMIT_TYPES, ListKind, OrderType, TriggerSource
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
    Terms,
)
from matching.state.codec import decode_command
from orders.commands.build import place_command, place_list_command, terms_of
from orders.commands.words import LIST_KINDS, SELF_TRADES, SIDES, TIMES_IN_FORCE

# What reading a row raises that does not hold what it should.
UNREADABLE: Final = (AssertionError, ArithmeticError, LookupError, TypeError, ValueError)

# What command_from_order_row reads. What only some orders have is one column: for all others eleven
# that are empty would cost as much as reading the order does.
ORDER_COLUMNS: Final = """
id, account_id, symbol_id, side, type, time_in_force, post_only, self_trade, price, bound_price,
quantity, quote_amount, list_id, group_id, owner_tag,
CASE WHEN type NOT IN ('limit', 'market') OR display_quantity IS NOT NULL
    OR expires_at IS NOT NULL OR reprice
THEN json_build_object(
    'stop_price', stop_price::text, 'source', trigger_source, 'trail_amount', trail_amount::text,
    'trail_ppm', trail_ppm, 'activation_price', activation_price::text,
    'display_quantity', display_quantity::text, 'reprice', reprice,
    'bound_ppm', bound_trail_ppm, 'reprice_limit', reprice_limit::text,
    'expire_ms', (extract(epoch FROM expires_at) * 1000)::bigint)
END AS terms"""

log = structlog.get_logger(__name__)


def command_from_order_row(row: Mapping[str, Any], units: SymbolUnits) -> Place:
    """The command that enters an order, from its row (see ORDER_COLUMNS).

    An amended order's row gives the command that would enter it as it is now.
    """
    is_market = row["type"] not in LIMIT_TYPES
    quantity: Decimal | None = row["quantity"]
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
        terms=_terms(row, units),
    )


def list_from_rows(kind: str, rows: Sequence[Mapping[str, Any]], units: SymbolUnits) -> PlaceList:
    """The command that enters a list, from the rows of its orders in the order of their ids."""
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
    """The command that a row of orders_command holds, or the refusal of one that holds none."""
    try:
        command = decode_command(payload)
        assert (command.command_id, command.symbol_id) == (command_id, symbol_id)
        assert not isinstance(command, Place | PlaceList | Expire | Continue), "it has no such row"
    except UNREADABLE as error:
        # A raise here would stop the whole partition at every start, for this one row.
        log.critical("matching.command_unreadable", command_id=command_id, error=repr(error))
        time_ms = id_time_ms(command_id)
        return RefuseFaulty(command_id, time_ms, symbol_id, order_id or 0, False)
    return command


def _terms(row: Mapping[str, Any], units: SymbolUnits) -> Terms | None:
    terms = row["terms"]
    if terms is None:
        return None  # nearly always
    display_quantity: str | None = terms["display_quantity"]
    return terms_of(
        OrderType(row["type"]),
        stop_ticks=_ticks(terms["stop_price"], units),
        source=TriggerSource(terms["source"] or TriggerSource.LAST),
        trail_ticks=_ticks(terms["trail_amount"], units),
        trail_ppm=terms["trail_ppm"] or 0,
        activation_ticks=_ticks(terms["activation_price"], units),
        display_lots=units.quantity_lots(Decimal(display_quantity)) if display_quantity else 0,
        expire_ms=terms["expire_ms"] or 0,
        reprice=terms["reprice"],
        bound_ppm=terms["bound_ppm"] or 0,
        reprice_limit_ticks=_ticks(terms["reprice_limit"], units),
    )


def _ticks(price: str | None, units: SymbolUnits) -> int:
    return units.price_ticks(Decimal(price)) if price else 0


def _budget_ticklots(quote_amount: Decimal | None, units: SymbolUnits) -> int:
    """Tick-lots that a quote amount pays for, rounded down: never more than was reserved."""
    if quote_amount is None:
        return 0
    atoms = int(quote_amount.scaleb(units.quote_scale))
    return atoms // units.quote_atoms_per_ticklot
