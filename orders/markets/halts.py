"""Halts that no person asked for: after faults, doubtful restarts and breaches of an invariant."""

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

# How many times a halt tries the lock of the symbol's states before it goes on without the lock.
STATE_LOCK_TRIES: Final = 20
STATE_LOCK_PAUSE_S: Final = 0.05

_SYMBOLS_OF: Final = "SELECT id, code FROM exchange_symbol WHERE code = ANY(%s) ORDER BY id"

log = structlog.get_logger(__name__)


def halts_in_order(connection: psycopg.Connection, symbol_id: int) -> None:
    """Take the lock of the symbol's states, so that the halt is sequenced after earlier requests.

    The wait is bounded: a halt at the same time as a schedule is better than no halt.
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

    The caller has a transaction open: a schedule sees the halt, or has sent its command before it.
    """
    halts_in_order(connection, symbol_id)
    _halt_insert(connection, ids, partition_id, symbol_id, note)


def _halt_insert(
    connection: psycopg.Connection, ids: IdGenerator, partition_id: int, symbol_id: int, note: str
) -> None:
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
    """Halt the symbols that are not, nor will be, closed or in a lasting halt; return their codes.

    All halts are written in one transaction.
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
            _halt_insert(connection, ids, partition_id, symbol_id, note)
    return halted
