"""Cancel-after: an account's orders are cancelled unless it is set again in time."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from exchange.access.principals import Principal
from exchange.domain.codes import Code
from exchange.domain.enums import CommandKind, SymbolState
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.infra.lookups import here_or_thread
from exchange.selectors import catalogue, symbol_by_id, symbol_known
from orders.commands.build import cancel_after_command
from orders.intake.jobs import CommandJob
from orders.reads.orders import symbols_with_open_orders
from orders.writes.orders import account_of, jobs_by_symbol, submitted_by_symbol

TIMEOUT_MIN_MS: Final = 1_000
TIMEOUT_MAX_MS: Final = 86_400_000
SCOPE_ACCOUNT: Final = "account"
SCOPE_KEY: Final = "key"


@dataclass(frozen=True, slots=True)
class CancelAfterSet:
    """When the orders are cancelled (Unix milliseconds; 0: cleared), and in which symbols."""

    due_ms: int
    commands: Mapping[str, int]  # by symbol


async def cancel_after_set(
    principal: Principal, *, timeout_ms: int, symbol: str | None = None, scope: str | None = None
) -> CancelAfterSet:
    """Set the cancel-after of an account, or of the API key that asks, in one symbol or in all.

    A new timeout replaces the earlier one; 0 clears it. A cancel-after of a key runs apart from the
    account's and cancels only orders placed with that key. Each symbol has its own
    cancel-after: where one could not be set this raises, and the same request again sets them all.
    """
    due_ms, jobs = await here_or_thread(_begin, principal, timeout_ms, symbol, scope)
    return CancelAfterSet(due_ms, await submitted_by_symbol(jobs))


def _begin(
    principal: Principal, timeout_ms: int, symbol: str | None, scope: str | None
) -> tuple[int, dict[str, CommandJob]]:
    """Return when the orders are cancelled, and the jobs by symbol code."""
    account_id = account_of(principal)
    if timeout_ms and not TIMEOUT_MIN_MS <= timeout_ms <= TIMEOUT_MAX_MS:
        rule = f"0, or {TIMEOUT_MIN_MS} to {TIMEOUT_MAX_MS}"
        raise DomainError(Code.REQUEST_FIELD_INVALID, field="timeout_ms", rule=rule)
    owner_tag = _owner_tag(principal, scope)
    rules = _symbols(account_id, symbol)
    due_ms = time.time_ns() // 1_000_000 + timeout_ms if timeout_ms else 0
    build = partial(cancel_after_command, account_id=account_id, due_ms=due_ms, owner_tag=owner_tag)
    return due_ms, jobs_by_symbol(principal, CommandKind.CANCEL_AFTER, build, rules)


def _owner_tag(principal: Principal, scope: str | None) -> int:
    if scope in (None, SCOPE_ACCOUNT):
        return 0
    if scope != SCOPE_KEY:
        rule = f"one of {SCOPE_ACCOUNT}, {SCOPE_KEY}"
        raise DomainError(Code.REQUEST_FIELD_INVALID, field="scope", rule=rule)
    if not principal.key_number:
        rule = f"{SCOPE_KEY} only for requests that an API key signs"
        raise DomainError(Code.REQUEST_FIELD_INVALID, field="scope", rule=rule)
    return principal.key_number


def _symbols(account_id: int, symbol: str | None) -> list[SymbolRules]:
    """Return the named symbol; or all listed ones and those in which the account has orders."""
    if symbol is not None:
        return [symbol_known(symbol)]
    ids = {one.units.symbol_id for one in catalogue().symbols.values()}
    ids.update(symbols_with_open_orders(account_id))
    rules = [symbol_by_id(symbol_id) for symbol_id in sorted(ids)]
    return [one for one in rules if one.state is not SymbolState.CLOSED]
