"""Users who may not trade: a suspended user still reads and cancels, a deactivated cannot.

Both acts end the user's sockets and, unless staff say otherwise, every live order. Each act locks
all balances of the account first, and intake reads the bar under the lock of the balance that an
order pays with: so an order is accepted before and seen here, or refused by intake. The cancels are
commands of the engine. A task sends again what they missed: an order that reached the engine after
them, a symbol that took no cancels at that moment, a process that died in between.
"""

import time
from functools import partial
from typing import Final

import structlog
from django.db import connection, transaction

from exchange.access.notices import login_ended, user_group
from exchange.access.principals import principals_forget
from exchange.access.security_events import event_record
from exchange.domain.enums import CommandKind, SecurityKind, SymbolState
from exchange.domain.errors import DomainError
from exchange.domain.ids import id_floor
from exchange.models import User
from orders.markets.cancels import account_orders_cancel
from wallets.fragments import LIVE_ORDERS_OF_USERS
from wallets.locks import account_funds_lock
from wallets.selectors import account_id_of

RESEND_MS: Final = 30_000  # a younger cancel is not repeated: the engine may not have applied it
ACCOUNTS_PER_RUN_MAX: Final = 200
BARRED_NOTE: Final = "the user is suspended or deactivated"

log = structlog.get_logger(__name__)


def user_suspend(*, user_id: int, actor_id: int | None, reason: str, cancels: bool = True) -> int:
    """Keep a user from placing and amending; return in how many symbols cancels are on their way.

    `cancels`: every live order of the user ends. The user may still read, cancel and revoke keys.
    """
    return _bar(user_id, SecurityKind.SUSPENDED, actor_id, reason, cancels, is_suspended=True)


def user_deactivate(
    *, user_id: int, actor_id: int | None, reason: str, cancels: bool = True
) -> int:
    """Keep a user out altogether: no sign-in, and no API key works; else as user_suspend."""
    return _bar(user_id, SecurityKind.DEACTIVATED, actor_id, reason, cancels, is_active=False)


def user_unsuspend(*, user_id: int, actor_id: int | None, reason: str) -> None:
    """Let a suspended user trade again."""
    _readmit(user_id, SecurityKind.UNSUSPENDED, actor_id, reason, is_suspended=False)


def user_reactivate(*, user_id: int, actor_id: int | None, reason: str) -> None:
    """Let a deactivated user in again."""
    _readmit(user_id, SecurityKind.REACTIVATED, actor_id, reason, is_active=True)


def _bar(
    user_id: int,
    kind: SecurityKind,
    actor_id: int | None,
    reason: str,
    cancels: bool,
    **flags: bool,
) -> int:
    with transaction.atomic(durable=True):
        account_funds_lock(user_id)
        User.objects.filter(pk=user_id).update(orders_end=cancels, **flags)
        detail = {"reason": reason, "cancels_orders": cancels}
        event_record(kind, actor_id=actor_id, subject_id=user_id, detail=detail)
        transaction.on_commit(principals_forget)
        transaction.on_commit(partial(login_ended, user_group(user_id)))
    account_id = account_id_of(user_id)
    if not cancels or account_id is None:
        return 0
    try:
        codes = account_orders_cancel(account_id, requested_by=actor_id, note=reason)
    except DomainError as error:  # the task sends the cancels that were not sent
        log.warning("suspension.cancel_later", account_id=account_id, code=error.code.value)
        return 0
    return len(codes)


def _readmit(
    user_id: int, kind: SecurityKind, actor_id: int | None, reason: str, **flags: bool
) -> None:
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(pk=user_id)
        for name, value in flags.items():
            setattr(user, name, value)
        user.orders_end = user.orders_end and (user.is_suspended or not user.is_active)
        user.save(update_fields=[*flags, "orders_end"])
        event_record(kind, actor_id=actor_id, subject_id=user_id, detail={"reason": reason})
        transaction.on_commit(principals_forget)


# A symbol in an auction's cut-off takes no cancels of users; a later run sends them.
_LEFT: Final = f"""
SELECT DISTINCT live.account_id
FROM exchange_user AS person
JOIN ({LIVE_ORDERS_OF_USERS}) AS live ON live.user_id = person.id
JOIN exchange_symbol AS symbol ON symbol.id = live.symbol_id
WHERE person.orders_end AND (person.is_suspended OR NOT person.is_active)
    AND symbol.state <> %(cutoff)s
    AND NOT EXISTS (
        SELECT FROM orders_command AS waiting
        WHERE waiting.engine_seq IS NULL AND waiting.kind = %(cancel_all)s
            AND waiting.account_id = live.account_id AND waiting.symbol_id = live.symbol_id)
    AND NOT EXISTS (
        SELECT FROM orders_command AS sent
        WHERE sent.id > %(recent)s AND sent.kind = %(cancel_all)s
            AND sent.account_id = live.account_id AND sent.symbol_id = live.symbol_id)
ORDER BY live.account_id LIMIT %(limit)s
"""  # noqa: S608 - a constant of ours


def barred_orders_cancel() -> int:
    """Send the cancels that orders of barred users still need; return for how many accounts.

    A cancel that is on its way, or was sent within RESEND_MS, is not sent again: cancels do not
    pile up before an engine that stands still.
    """
    values: dict[str, str | int] = {
        "cutoff": SymbolState.AUCTION_CUTOFF.value,
        "cancel_all": CommandKind.CANCEL_ALL.value,
        "recent": id_floor(time.time_ns() // 1_000_000 - RESEND_MS),
        "limit": ACCOUNTS_PER_RUN_MAX,
    }
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, values)
        account_ids = [row[0] for row in cursor.fetchall()]
    for account_id in account_ids:
        account_orders_cancel(account_id, requested_by=None, note=BARRED_NOTE)
    return len(account_ids)
