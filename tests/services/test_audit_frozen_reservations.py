"""risk.audit while an amend is on its way: a reservation may exceed what is required (ADR 0015).

The amend's quantity is a total, so it may need again what the order got rid of. Until the answer a
reservation is at least required + extra, and less is a breach. After the answer it must be equal.
"""

import pytest

from matching.engine.messages import BUY, OCO, SELL, STP_DECREMENT, TRIGGER_STOP, Terms
from matching.state.codec import decode_command
from risk.audit.inputs import positions, symbols
from risk.audit.reservations import reservations_are_exact
from tests.factories.ledger import Rig
from tests.factories.ledger_lists import Leg, list_place

pytestmark = pytest.mark.django_db(transaction=True)


def settle(rig: Rig) -> None:
    rig.commit()
    rig.settle()


def l5(rig: Rig) -> list[str]:
    with rig.connection.transaction():
        known = symbols(rig.connection)
        found = reservations_are_exact(rig.connection, positions(rig.connection), known)
    assert found is not None
    return [breach.detail for breach in found]


def reservation_change(rig: Rig, order_id: int, atoms: int) -> None:
    changed = rig.connection.execute(
        "UPDATE wallets_reservation SET amount = amount + %s * 1e-8 WHERE order_id = %s",
        (atoms, order_id),
    )
    assert changed.rowcount == 1


def amend_arrives(rig: Rig, order_id: int) -> None:
    """Sequence the amend that was accepted and held back, and settle it."""
    [(payload,)] = rig.connection.execute(
        "SELECT payload FROM orders_command JOIN wallets_reservation reservation"
        " ON reservation.pending_amend_id = id WHERE reservation.order_id = %s",
        (order_id,),
    ).fetchall()
    rig.apply(decode_command(payload))
    settle(rig)


def test_an_order_decremented_before_its_amend_came_reserves_more_than_required(rig: Rig) -> None:
    trader = rig.trader(base="1", quote="10000")
    order_id = rig.place(trader, BUY, 10_000, 10)
    settle(rig)
    assert rig.amend(order_id, lots=12, sequence=False)
    assert l5(rig) == []
    rig.place(trader, SELL, 10_000, 4, self_trade=STP_DECREMENT)
    settle(rig)
    assert l5(rig) == [], "six are open; the reservation for ten and the amend stays"
    amend_arrives(rig, order_id)
    assert l5(rig) == []
    reservation_change(rig, order_id, 1)
    assert len(l5(rig)) == 1, "nothing is on its way any more"


def test_an_order_alone_of_its_pair_before_its_amend_came_reserves_more_than_required(
    rig: Rig,
) -> None:
    trader, seller = rig.trader(quote="10000"), rig.trader(base="1")
    stop = Terms(trigger=TRIGGER_STOP, stop_ticks=11_000)
    limit, _ = list_place(rig, trader, OCO, [Leg(BUY, 9_000, 10), Leg(BUY, 11_000, 10, stop)])
    settle(rig)
    assert rig.amend(limit, lots=12, sequence=False)
    assert l5(rig) == []
    rig.place(seller, SELL, 9_000, 4)
    settle(rig)
    assert l5(rig) == [], "the reservation of the dearer stop stays"
    amend_arrives(rig, limit)
    assert l5(rig) == []


def test_a_pair_decremented_before_its_amend_came_reserves_more_than_required(rig: Rig) -> None:
    trader = rig.trader(base="1", quote="10000")
    stop = Terms(trigger=TRIGGER_STOP, stop_ticks=11_000)
    pair = list_place(rig, trader, OCO, [Leg(BUY, 9_000, 20), Leg(BUY, 11_000, 10, stop)])
    settle(rig)
    assert rig.amend(pair[0], lots=21, sequence=False)
    assert l5(rig) == []
    rig.place(trader, SELL, 9_000, 12, self_trade=STP_DECREMENT)
    settle(rig)
    assert l5(rig) == []
    amend_arrives(rig, pair[0])
    assert l5(rig) == []


@pytest.mark.parametrize("is_pair", [False, True])
def test_less_than_need_and_extra_is_a_breach_while_an_amend_is_on_its_way(
    rig: Rig, is_pair: bool
) -> None:
    trader = rig.trader(base="1", quote="10000")
    if is_pair:
        stop = Terms(trigger=TRIGGER_STOP, stop_ticks=8_000)
        order_id, _ = list_place(rig, trader, OCO, [Leg(BUY, 9_000, 10), Leg(BUY, 8_000, 1, stop)])
    else:
        order_id = rig.place(trader, BUY, 9_000, 10)
    settle(rig)
    assert rig.amend(order_id, lots=12, sequence=False)
    rig.place(trader, SELL, 9_000, 4, self_trade=STP_DECREMENT)
    settle(rig)
    lots_atoms = 9_000 * 4 * rig.units.quote_atoms_per_ticklot
    reservation_change(rig, order_id, -lots_atoms - lots_atoms // 1_000)
    assert l5(rig) == [], "exactly need and extra"
    reservation_change(rig, order_id, -1)
    assert len(l5(rig)) == 1
