"""A symbol's market states in Postgres: the state ahead, the lock for requests, the command's row.

A request reads the state ahead and inserts its command under the symbol's lock, so that requests
are sequenced in the order of their reads. Without the lock a schedule that read before a halt could
be sequenced after the halt, and end it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from exchange.domain.enums import SymbolState
from exchange.domain.ids import IdGenerator
from exchange.infra.advisory import STATE_LOCK_CLASS
from matching.engine.messages import SetState
from matching.state.codec import decode_command, encode_command
from orders.commands.build import set_state_command
from orders.commands.words import STATE_TEXTS, STATES

# The states that no program ends: a halt waits for a person, and closing is final.
KEPT: Final = frozenset({SymbolState.HALT, SymbolState.CLOSED})
# The states that the engine enters by itself after a sharp move, and leaves by itself.
_OF_INTERRUPTIONS: Final = frozenset({SymbolState.HALT, SymbolState.AUCTION})

# One statement, one snapshot: a change of state is seen as a waiting command or in the row.
STATE_AHEAD: Final = """
SELECT symbol.state, symbol.partition_id, (
    SELECT waiting.payload FROM orders_command AS waiting
    WHERE waiting.symbol_id = symbol.id AND waiting.kind = 'set_state'
      AND waiting.engine_seq IS NULL
    ORDER BY waiting.id DESC LIMIT 1)
FROM exchange_symbol AS symbol WHERE symbol.id = %s
"""
_STATE_ASKED: Final = """
SELECT symbol.state, symbol.interruption_limit_s > 0, (
    SELECT asked.payload FROM orders_command AS asked
    WHERE asked.symbol_id = symbol.id AND asked.kind = 'set_state' AND asked.refusal IS NULL
    ORDER BY asked.id DESC LIMIT 1)
FROM exchange_symbol AS symbol WHERE symbol.id = %s
"""
_INSERT: Final = """
INSERT INTO orders_command
    (id, partition_id, kind, symbol_id, payload, reserved_extra, note, created_at)
VALUES (%s, %s, 'set_state', %s, %s, 0, %s, clock_timestamp())
"""
# Both locks take STATE_LOCK_CLASS and the symbol's id, and end with the transaction.
STATE_LOCK: Final = "SELECT pg_advisory_xact_lock(%s, %s)"
STATE_LOCK_TRY: Final = "SELECT pg_try_advisory_xact_lock(%s, %s)"


def state_ahead_of(state: str, waiting: bytes | None) -> SymbolState:
    """Return the state ahead: the waiting SetState command's, or else the row's `state`."""
    if waiting is None:
        return SymbolState(state)
    command = decode_command(bytes(waiting))
    assert isinstance(command, SetState)
    return SymbolState(STATE_TEXTS[command.state])


def state_ends_by_itself(raw: psycopg.Connection, symbol_id: int) -> bool:
    """Tell whether the symbol is in a step of an interruption: its pause, or the auction after it.

    The engine entered that state by itself, and trading goes on after it by itself. The answer
    holds for a symbol without a change of state on its way.
    """
    row = raw.execute(_STATE_ASKED, (symbol_id,)).fetchone()
    assert row is not None
    state, may_be_interrupted, asked = SymbolState(row[0]), row[1], row[2]
    if not may_be_interrupted or state not in _OF_INTERRUPTIONS:
        return False
    return asked is None or state_ahead_of(state, asked) is not state


def state_command_insert(
    connection: psycopg.Connection,
    ids: IdGenerator,
    *,
    partition_id: int,
    symbol_id: int,
    state: SymbolState,
    note: str,
) -> bytes:
    """Write the command that moves a symbol to another market state; return its bytes.

    The worker finds it as any unsequenced row.
    """
    command = set_state_command(command_id=ids.next_id(), symbol_id=symbol_id, state=STATES[state])
    payload = encode_command(command)
    connection.execute(_INSERT, (command.command_id, partition_id, symbol_id, payload, note))
    return payload


@contextmanager
def states_held(connection: psycopg.Connection, symbol_ids: set[int]) -> Iterator[None]:
    """Hold the state locks of these symbols over several transactions, on the session."""
    held = []
    try:
        for symbol_id in sorted(symbol_ids):
            connection.execute("SELECT pg_advisory_lock(%s, %s)", (STATE_LOCK_CLASS, symbol_id))
            held.append(symbol_id)
        yield
    finally:
        for symbol_id in held:
            if not connection.closed:
                connection.execute(
                    "SELECT pg_advisory_unlock(%s, %s)", (STATE_LOCK_CLASS, symbol_id)
                )
