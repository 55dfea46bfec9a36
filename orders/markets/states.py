"""Requests for another market state of a symbol, and the state that a symbol will be in.

A change of state is a command to the engine, never an UPDATE: the symbol's row follows the engine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from django.db import connection, transaction

from exchange.domain.codes import Code
from exchange.domain.enums import CommandKind, SymbolState
from exchange.domain.errors import DomainError
from exchange.infra.advisory import STATE_LOCK_CLASS
from exchange.selectors import catalogue_read
from orders.commands.build import set_state_command
from orders.commands.words import STATES
from orders.intake.jobs import Accepted, CommandJob
from orders.intake.process import intake
from orders.markets.state_rows import STATE_AHEAD, STATE_LOCK, state_ahead_of

NOTE_LENGTH_MAX: Final = 200


def symbol_state_request(
    *, symbol_id: int, state: SymbolState, requested_by: int | None, note: str
) -> int:
    """Ask the engine to move a symbol to another market state; return the command's id.

    The symbol's row changes when the engine has applied the command. Raises symbol.closed where the
    symbol is closed, or about to be: closing is final.
    """
    rules = catalogue_read().symbols_by_id[symbol_id]  # read afresh: the symbol may be new
    with _state_lock_held(symbol_id):
        if symbol_state_ahead(symbol_id) is SymbolState.CLOSED:
            raise DomainError(Code.SYMBOL_CLOSED, symbol=rules.units.code)
        job = CommandJob(
            CommandKind.SET_STATE,
            partial(set_state_command, state=STATES[state]),
            symbol_id=symbol_id,
            partition_id=rules.partition_id,
            requested_by=requested_by,
            note=note[:NOTE_LENGTH_MAX],
        )
        outcome = intake().submit(job)
    assert isinstance(outcome, Accepted)
    return outcome.command_id


def symbol_state_ahead(symbol_id: int) -> SymbolState:
    """Return the state of a symbol once the engine has applied every command sent to it."""
    with connection.cursor() as cursor:
        cursor.execute(STATE_AHEAD, (symbol_id,))
        row = cursor.fetchone()
    assert row is not None
    return state_ahead_of(row[0], row[2])


@contextmanager
def _state_lock_held(symbol_id: int) -> Iterator[None]:
    """Hold the lock under which a symbol's states are requested (orders/markets/state_rows.py)."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(STATE_LOCK, (STATE_LOCK_CLASS, symbol_id))
        yield
