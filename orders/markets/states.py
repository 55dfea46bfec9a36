"""Which market state a symbol is in, will be in, and who asks for another one.

A state is a command to the engine, never an UPDATE: the symbol's row follows the engine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from django.db import connection, transaction

from exchange.domain.codes import Code
from exchange.domain.enums import CommandKind, SymbolState
from exchange.domain.errors import DomainError
from exchange.infra.advisory import STATE_LOCK_CLASS
from exchange.selectors import catalogue_read
from matching.engine.messages import SetState
from matching.state.codec import decode_command
from orders.commands.words import STATE_TEXTS, STATES
from orders.intake.jobs import Accepted, CommandJob
from orders.intake.thread import intake

NOTE_LENGTH_MAX: Final = 200
# What no program ends: a halt waits for a person, a closing for nobody.
KEPT: Final = frozenset({SymbolState.HALT, SymbolState.CLOSED})
# What the engine enters by itself after a sharp move, and leaves by itself.
_OF_INTERRUPTIONS: Final = frozenset({SymbolState.HALT, SymbolState.AUCTION})

# One statement, one snapshot: a state that is on its way is seen in one place or in the other.
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


def symbol_state_request(
    *, symbol_id: int, state: SymbolState, requested_by: int | None, note: str
) -> int:
    """Ask the engine to move a symbol to another market state; return the command's id.

    The symbol's row changes when the engine has obeyed, in its sequence. Raises symbol.closed
    where the symbol is closed, or about to be: that is final.
    """
    rules = catalogue_read().symbols_by_id[symbol_id]  # rare: a symbol made just now counts too
    with _in_order(symbol_id):
        if symbol_state_ahead(symbol_id) is SymbolState.CLOSED:
            raise DomainError(Code.SYMBOL_CLOSED, symbol=rules.units.code)
        job = CommandJob(
            CommandKind.SET_STATE,
            symbol_id=symbol_id,
            partition_id=rules.partition_id,
            state=STATES[state],
            requested_by=requested_by,
            note=note[:NOTE_LENGTH_MAX],
        )
        outcome = intake().submit(job)
    assert isinstance(outcome, Accepted)
    return outcome.command_id


def symbol_state_ahead(symbol_id: int) -> SymbolState:
    """The state a symbol will be in when the engine has obeyed all that was asked for."""
    with connection.cursor() as cursor:
        cursor.execute(STATE_AHEAD, (symbol_id,))
        row = cursor.fetchone()
    assert row is not None
    return state_ahead_of(row[0], row[2])


def state_ahead_of(state: str, waiting: bytes | None) -> SymbolState:
    """The state that a row of STATE_AHEAD tells."""
    if waiting is None:
        return SymbolState(state)
    command = decode_command(bytes(waiting))
    assert isinstance(command, SetState)
    return SymbolState(STATE_TEXTS[command.state])


def state_ends_by_itself(raw: psycopg.Connection, symbol_id: int) -> bool:
    """Whether the symbol is in a step of an interruption: its pause, or the auction after it.

    Nobody asked for that state, and trading goes on after it without anybody's word. For a symbol
    of which nothing is on its way.
    """
    row = raw.execute(_STATE_ASKED, (symbol_id,)).fetchone()
    assert row is not None
    state, may_be_interrupted, asked = SymbolState(row[0]), row[1], row[2]
    if not may_be_interrupted or state not in _OF_INTERRUPTIONS:
        return False
    return asked is None or state_ahead_of(state, asked) is not state


@contextmanager
def _in_order(symbol_id: int) -> Iterator[None]:
    """One at a time asks for a symbol's states, so that who looks first also comes first.

    Otherwise a schedule that looked before a halt could be sequenced after it, and end it.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", (STATE_LOCK_CLASS, symbol_id))
        yield
