"""Cancels by the house: all orders of a symbol, of a user, or of one API key.

Each symbol gets one command in the engine's sequence. A cancel of all orders of a symbol works in
every market state; a cancel for one account only where its owner could cancel, too.
"""

from functools import partial
from typing import Final

from exchange.domain.enums import CommandKind
from exchange.selectors import catalogue_read
from matching.engine.messages import ALL_ACCOUNTS
from orders.commands.build import cancel_all_command
from orders.intake.jobs import CommandJob
from orders.intake.process import intake
from orders.markets.states import NOTE_LENGTH_MAX
from orders.reads.orders import symbols_with_open_orders

ANY_OWNER: Final = 0


def symbol_orders_cancel(symbol_id: int, *, requested_by: int | None, note: str) -> None:
    """Send the cancel of every order of a symbol, whoever placed it."""
    _send([symbol_id], ALL_ACCOUNTS, ANY_OWNER, requested_by, note)


def account_orders_cancel(
    account_id: int, *, owner_tag: int = ANY_OWNER, requested_by: int | None, note: str
) -> list[str]:
    """Send a cancel-all for each symbol in which the account has orders; return the symbols' codes.

    With `owner_tag`, the number of an API key, only orders placed with that key end.
    """
    symbol_ids = symbols_with_open_orders(account_id)
    return _send(symbol_ids, account_id, owner_tag, requested_by, note)


def _send(
    symbol_ids: list[int], account_id: int, owner_tag: int, requested_by: int | None, note: str
) -> list[str]:
    known = catalogue_read().symbols_by_id  # read afresh: a symbol may be new
    build = partial(cancel_all_command, account_id=account_id, owner_tag=owner_tag)
    for symbol_id in symbol_ids:
        intake().submit(
            CommandJob(
                CommandKind.CANCEL_ALL,
                build,
                symbol_id=symbol_id,
                partition_id=known[symbol_id].partition_id,
                account_id=account_id,
                requested_by=requested_by,
                note=note[:NOTE_LENGTH_MAX],
            )
        )
    return [known[symbol_id].units.code for symbol_id in symbol_ids]
