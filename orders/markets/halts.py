"""The one place that halts a symbol without a person's word: after faults, doubts and breaches."""

import time
from collections.abc import Iterable
from typing import Final

import psycopg
import structlog

from exchange.domain.enums import SymbolState
from exchange.domain.ids import IdGenerator
from exchange.infra.advisory import STATE_LOCK_CLASS
from orders.markets.state_rows import (
    KEPT,
    STATE_AHEAD,
    STATE_LOCK,
    STATE_LOCK_TRY,
    state_ahead_of,
    state_command_insert,
    state_ends_by_itself,
)

# How long a halt waits for whoever asks for the symbol's states at this moment.
STATE_LOCK_TRIES: Final = 20
STATE_LOCK_PAUSE_S: Final = 0.05

_SYMBOLS_OF: Final = "SELECT id, code FROM exchange_symbol WHERE code = ANY(%s) ORDER BY id"

log = structlog.get_logger(__name__)


def halts_in_order(connection: psycopg.Connection, symbol_id: int) -> None:
    """Wait until nobody else asks for the symbol's states, so that a halt comes after.

    Not for ever: a halt that comes at the same time as a schedule is better than none.
    """
    for _ in range(STATE_LOCK_TRIES):
        found = connection.execute(STATE_LOCK_TRY, (STATE_LOCK_CLASS, symbol_id)).fetchone()
        if found == (True,):
            return
        time.sleep(STATE_LOCK_PAUSE_S)
    log.error("matching.halt_out_of_order", symbol_id=symbol_id)


def halt_request(
    connection: psycopg.Connection,
    ids: IdGenerator,
    *,
    partition_id: int,
    symbol_id: int,
    note: str,
) -> None:
    """Write the command that halts a symbol; the worker finds it as any unsequenced row.

    In a transaction: a schedule that looks meanwhile must see it, or have been before it.
    """
    halts_in_order(connection, symbol_id)
    state_command_insert(
        connection,
        ids,
        partition_id=partition_id,
        symbol_id=symbol_id,
        state=SymbolState.HALT,
        note=note,
    )


def symbols_halt(
    connection: psycopg.Connection, ids: IdGenerator, codes: Iterable[str], note: str
) -> list[str]:
    """Halt those of these symbols that are not halted or closed, nor about to be; return them.

    In one transaction of its own.
    """
    halted = []
    with connection.transaction():
        for symbol_id, code in connection.execute(_SYMBOLS_OF, (list(codes),)).fetchall():
            connection.execute(STATE_LOCK, (STATE_LOCK_CLASS, symbol_id))
            row = connection.execute(STATE_AHEAD, (symbol_id,)).fetchone()
            assert row is not None
            state, partition_id, waiting = row
            is_kept = state_ahead_of(state, waiting) in KEPT
            if is_kept and (waiting is not None or not state_ends_by_itself(connection, symbol_id)):
                continue
            halted.append(code)
            halt_request(connection, ids, partition_id=partition_id, symbol_id=symbol_id, note=note)
    return halted
