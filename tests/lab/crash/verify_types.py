"""Check after the crashes that orders of every type are as acknowledged and as the journal says.

A new engine applies every command of the journal from the first. It must give the journal's events,
whatever was killed in between, and reach the state of the checkpoint. The stored trades must be
those of the events. The audit, which runs too, compares reservations and open orders.
"""

from typing import Any, Final

import psycopg

from exchange.models import Symbol
from matching.engine.core import Engine
from matching.engine.messages import Trade
from tests.lab.crash.evidence import EvidenceFile
from tests.lab.crash.verify import FAULTS_SHOWN_MAX, MadeTrade, Verdict, promises_kept
from tests.lab.journal import checkpoint_fault, event_fault, journal_rows

_ORDERS: Final = "SELECT client_order_id, id FROM orders_order WHERE symbol_id = %s"
_TRADES: Final = """
SELECT maker_order_id, taker_order_id, price, quantity FROM orders_trade
WHERE symbol_id = %s ORDER BY engine_seq, id
"""


def verify_types(
    connection: psycopg.Connection[Any], symbol: Symbol, evidence: EvidenceFile
) -> Verdict:
    """Compare evidence, journal and trades. The partition must be drained.

    One snapshot reads all of it, because the worker still makes commands of its own (an expiry,
    the last move of a trailing stop).
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return _verdict(connection, symbol, evidence)


def _verdict(
    connection: psycopg.Connection[Any], symbol: Symbol, evidence: EvidenceFile
) -> Verdict:
    orders = dict(connection.execute(_ORDERS, (symbol.pk,)).fetchall())
    faults, acknowledged = promises_kept(connection, symbol, evidence, orders)
    engine = Engine()
    expected: list[MadeTrade] = []
    commands = 0
    for row in journal_rows(connection, symbol.partition_id):
        if fault := event_fault(engine, row):
            faults.append(fault)
            break
        if row.command.symbol_id == symbol.pk:
            commands += 1
            expected += [_made(event) for event in row.events if isinstance(event, Trade)]
    if fault := checkpoint_fault(connection, symbol.partition_id, engine):
        faults.append(fault)
    made = [
        MadeTrade(maker, taker, int(price / symbol.tick), int(quantity / symbol.lot))
        for maker, taker, price, quantity in connection.execute(_TRADES, (symbol.pk,))
    ]
    if made != expected:
        faults.append(f"{len(made)} trades are not the {len(expected)} of the journal")
    return Verdict(acknowledged, len(orders), commands, len(made), faults[:FAULTS_SHOWN_MAX])


def _made(event: Trade) -> MadeTrade:
    return MadeTrade(
        event.maker_order_id, event.taker_order_id, event.price_ticks, event.quantity_lots
    )
