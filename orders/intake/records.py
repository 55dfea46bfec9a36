"""The rows and the command of an accepted job, whose ids are set.

The worker rebuilds a new order's command from its row (orders/commands/from_rows.py); both commands
must be equal.
"""

from exchange.domain.enums import CommandKind, OrderType
from exchange.domain.units import SymbolUnits, plain
from matching.engine.messages import IOC, Amend, Command, Place, PlaceList
from orders.commands.build import amend_command, place_command, place_list_command
from orders.commands.columns import terms_row
from orders.commands.words import LIST_KINDS, SELF_TRADES, SIDES, TIMES_IN_FORCE
from orders.intake.jobs import AmendJob, CommandJob, ListJob, PlaceJob
from orders.intake.reservations import list_reservations
from orders.intake.rows import (
    CommandRow,
    ListRow,
    OrderRow,
    amount_text,
    time_text,
)
from orders.validation.orders import budget_ticklots


def order_row(job: PlaceJob) -> OrderRow:
    """Build the row of an accepted order and its reservation; `command_id` is the order's id."""
    draft, units = job.draft, job.rules.units
    price = plain(units.price(draft.price_ticks))
    is_market = job.is_market
    row = OrderRow(
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
        job.reserved_asset_id,
        draft.price_ticks,
        amount_text(job.reservation_atoms, job.reserved_scale),
        group_id=job.group_id,
        owner_tag=job.owner_tag,
    )
    if draft.reference_ticks and draft.type is OrderType.MARKET:
        row.reference_price = _price_or_none(draft.reference_ticks, units)
    if draft.terms is not None:
        row.terms = terms_row(draft.terms, units)
    return row


def _price_or_none(price_ticks: int, units: SymbolUnits) -> str | None:
    return plain(units.price(price_ticks)) if price_ticks else None


def list_rows(job: ListJob) -> list[OrderRow]:
    """Build the rows of an accepted list's orders, in the list's order."""
    rows = []
    for place, reservation in zip(job.places, list_reservations(job), strict=True):
        row = order_row(place)
        row.list_id = job.command_id
        row.reserved = amount_text(reservation.atoms, place.reserved_scale)
        row.pool_id = reservation.pool_id
        row.funded_by = reservation.funded_by
        row.left_lots = reservation.left_lots
        rows.append(row)
    return rows


def list_row(job: ListJob) -> ListRow:
    """Build the row of an accepted list."""
    list_id = job.command_id
    symbol_id = job.places[0].draft.symbol_id
    return ListRow(list_id, job.account_id, symbol_id, job.kind, time_text(list_id))


def place_of(job: PlaceJob) -> Place:
    """Build the command of an accepted order."""
    draft = job.draft
    is_market = job.is_market
    return place_command(
        order_id=job.command_id,
        symbol_id=draft.symbol_id,
        account_id=job.account_id,
        side=SIDES[draft.side],
        price_ticks=draft.price_ticks,
        quantity_lots=draft.quantity_lots,
        time_in_force=IOC if is_market else TIMES_IN_FORCE[draft.time_in_force],
        post_only=draft.post_only,
        market=is_market,
        budget_ticklots=budget_ticklots(draft.quote_atoms, job.rules) if draft.quote_atoms else 0,
        self_trade=SELF_TRADES[draft.self_trade],
        group_id=job.group_id,
        owner_tag=job.owner_tag,
        terms=draft.terms,
    )


def place_list_of(job: ListJob) -> PlaceList:
    """Build the command of an accepted list."""
    return place_list_command(
        list_id=job.command_id,
        symbol_id=job.places[0].draft.symbol_id,
        kind=LIST_KINDS[job.kind],
        orders=[place_of(place) for place in job.places],
    )


def command_built(job: CommandJob, symbol_id: int) -> Command:
    """Build an accepted job's command; the symbol of a cancel is that of its order."""
    command = job.build(command_id=job.command_id, symbol_id=symbol_id)
    assert (command.command_id, command.symbol_id) == (job.command_id, symbol_id)
    return command


def command_row(job: CommandJob, symbol_id: int, partition_id: int, payload: bytes) -> CommandRow:
    """Build the row of an accepted command."""
    return CommandRow(
        job.command_id,
        partition_id,
        job.kind,
        symbol_id,
        job.account_id,
        job.order_id,
        payload.hex(),
        job.requested_by,
        job.note,
        time_text(job.command_id),
    )


def amend_built(job: AmendJob) -> Amend:
    """Build the command of an accepted amend."""
    return amend_command(
        command_id=job.command_id,
        symbol_id=job.rules.units.symbol_id,
        order_id=job.order_id,
        keep_priority=job.keep_priority,
        **job.terms._asdict(),
    )


def amend_row(job: AmendJob, payload: bytes, extra: str) -> CommandRow:
    """Build the row of an accepted amend; `extra` is the amount it reserves additionally."""
    return CommandRow(
        job.command_id,
        job.rules.partition_id,
        CommandKind.AMEND,
        job.rules.units.symbol_id,
        job.account_id,
        job.order_id,
        payload.hex(),
        None,
        "",
        time_text(job.command_id),
        extra,
    )
