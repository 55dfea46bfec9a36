"""Linked orders for tests of settlement, and the check of their reservations."""

from collections.abc import Sequence
from typing import NamedTuple

from exchange.domain.units import atoms_to_decimal, decimal_to_atoms
from matching.engine.components import Waiting
from matching.engine.messages import BUY, OCO, OTO, OTOCO, Terms
from matching.engine.resting import RestingOrder
from matching.state.hash import open_orders
from orders.commands.build import place_command, place_list_command
from orders.commands.words import LIST_KINDS
from tests.factories.ledger import TAKER_PPM, Rig
from wallets.fees import reservation_atoms

KINDS = {code: word for word, code in LIST_KINDS.items()}


class Leg(NamedTuple):
    """One order of a list."""

    side: int
    price_ticks: int
    lots: int
    terms: Terms | None = None
    market: bool = False


def list_place(rig: Rig, account_id: int, kind: int, legs: Sequence[Leg]) -> list[int]:
    """Accept a list as intake does and give it to the engine; return its orders' ids.

    A pair's first row has its amount; a child that the parent pays for reserves nothing yet.
    """
    assert kind in (OCO, OTO, OTOCO)
    list_id = rig.ids.next_id()
    places = [
        place_command(
            order_id=rig.ids.next_id(),
            symbol_id=rig.symbol.pk,
            account_id=account_id,
            side=leg.side,
            price_ticks=leg.price_ticks,
            quantity_lots=leg.lots,
            market=leg.market,
            time_in_force=1 if leg.market else 0,
            terms=leg.terms,
        )
        for leg in legs
    ]
    parent = None if kind == OCO else places[0]
    pair = [] if kind == OTO else places[-2:]
    with rig.connection.transaction():
        rig.connection.execute(
            "INSERT INTO orders_orderlist (id, account_id, symbol_id, kind, created_at)"
            " VALUES (%s, %s, %s, %s, now())",
            (list_id, account_id, rig.symbol.pk, KINDS[kind].value),
        )
        for place in places:
            rig.order_insert(place, list_id)
            is_funded = parent is not None and place.side != parent.side
            atoms = rig.need(place)
            if place in pair:
                atoms = max(map(rig.need, pair)) if place is pair[0] else 0
            rig.reservation_insert(
                place,
                0 if is_funded else atoms,
                pool_id=list_id if place in pair else None,
                funded_by=parent.order_id if parent is not None and is_funded else None,
                left_lots=place.quantity_lots if place in pair or is_funded else None,
            )
    rig.apply(
        place_list_command(list_id=list_id, symbol_id=rig.symbol.pk, kind=kind, orders=places)
    )
    return [place.order_id for place in places]


def assert_exact(rig: Rig) -> None:
    """L1 to L5 when all is settled and no amend is on its way.

    The required amounts are computed anew from the engine's open orders; a pool has the larger one
    on either row. The test itself checks what a funded order has so far.
    """
    connection = rig.connection
    unbalanced = connection.execute(
        "SELECT journal_id FROM wallets_entry GROUP BY journal_id, asset_id HAVING sum(amount) <> 0"
    ).fetchall()
    assert unbalanced == [], "L1"
    wrong = connection.execute(
        "SELECT account_id, asset_id FROM wallets_balance b WHERE reserved < 0"
        " OR (available < 0 AND NOT may_be_negative) OR available + reserved <>"
        " (SELECT coalesce(sum(amount), 0) FROM wallets_entry e"
        "  WHERE e.account_id = b.account_id AND e.asset_id = b.asset_id) OR reserved <>"
        " (SELECT coalesce(sum(amount), 0) FROM wallets_reservation r"
        "  WHERE r.account_id = b.account_id AND r.asset_id = b.asset_id)"
    ).fetchall()
    assert wrong == [], "L3, L4, L5"
    needs = {id_of(order): _need(rig, order) for order in open_orders(rig.book)}
    rows = connection.execute(
        "SELECT order_id, amount, pool_id, funded_by FROM wallets_reservation"
    ).fetchall()
    assert {row[0] for row in rows} == needs.keys(), "one reservation, one live order"
    groups: dict[int, list[tuple[int, int, int | None]]] = {}
    for order_id, amount, pool_id, funded_by in rows:
        entry = (decimal_to_atoms(amount, 8), needs[order_id], funded_by)
        groups.setdefault(pool_id or order_id, []).append(entry)
    for key, group in groups.items():
        assert len(group) == 1 or key not in needs, "the key of a pair is its list's id"
        reserved, need = sum(one[0] for one in group), max(one[1] for one in group)
        is_funded = group[0][2] is not None
        assert reserved == need or (reserved < need and is_funded), f"order or pool {key}"


def reserved_by(rig: Rig, *order_ids: int) -> object:
    """Return the sum of these orders' reservations, as the column's decimal."""
    rows = [rig.reservation(order_id) for order_id in order_ids]
    return sum(row for row in rows if row is not None)


def need_of(rig: Rig, side: int, price_ticks: int, lots: int) -> object:
    """What an order without fills needs, in units of its asset."""
    return atoms_to_decimal(reservation_atoms(side, lots, price_ticks, rig.units, 0, TAKER_PPM), 8)


def id_of(order: RestingOrder | Waiting) -> int:
    """The order's id."""
    return order.command.order_id if type(order) is Waiting else order.order_id


def _need(rig: Rig, order: RestingOrder | Waiting) -> int:
    if type(order) is Waiting:
        side, left = order.command.side, order.command.quantity_lots
        ticks = order.command.price_ticks
    else:
        side, left = order.side, order.left_lots + order.hidden_lots
        ticks = order.price_ticks
    row = rig.connection.execute(
        "SELECT fee_accrued FROM wallets_reservation WHERE order_id = %s", (id_of(order),)
    ).fetchone()
    assert row is not None, "one reservation, one live order"
    assert side >= BUY
    return reservation_atoms(side, left, ticks, rig.units, int(row[0]), TAKER_PPM)
