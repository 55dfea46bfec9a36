"""The rules that the engine itself applies: price bands, limits of orders, switches of behaviour.

Rows of the back office say which rules should hold; the engine applies those it was sent as
commands. This module compares both and sends only the differences. A repetition sends nothing.
Rules saved while no command could be taken are sent by a task that compares every minute.
"""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Final, NamedTuple

import structlog
from django.db import connection
from msgspec.structs import replace

from exchange.domain.codes import Code
from exchange.domain.enums import CommandKind, SymbolState
from exchange.domain.errors import DomainError
from exchange.domain.units import PPM
from exchange.models import Symbol
from matching.engine.messages import (
    ALL_ACCOUNTS,
    FEATURE_REPORT_PREVENTED,
    Command,
    SetBand,
    SetFeature,
    SetLimits,
)
from matching.state.codec import decode_command
from orders.commands.build import set_band_command, set_feature_command, set_limits_command
from orders.intake.jobs import Build, CommandJob
from orders.intake.process import intake
from risk.models import OrderLimit
from wallets.selectors import account_ids_of

# In the engine's order, unsequenced commands last. The kinds are literals because a partial index
# covers just these.
_LATEST_COMMANDS = """
SELECT payload FROM orders_command
WHERE symbol_id = %s AND partition_id = %s AND kind IN ('set_band', 'set_limits', 'set_feature')
ORDER BY engine_seq NULLS LAST, id
"""
CLOCK_NOTE: Final = "sent by the clock"

# Settings of one key replace each other. The number is an account of limits, a feature, or 0.
Key = tuple[CommandKind, int]

log = structlog.get_logger(__name__)


class Setting(NamedTuple):
    """One rule that the engine should apply: in words, and as the builder of its command."""

    words: str
    build: Build


def symbol_rules_send(
    symbol_id: int, requested_by: int | None = None, *, note: str = "", again: bool = False
) -> list[str]:
    """Send the rules of a symbol that the engine was not sent yet; return them in words.

    The rules are the report of prevented matches, the price band, the limits of everyone, and the
    limits of each account that has, or had, its own. `again` sends all of them. Raises what
    Intake.submit raises, and request.field_invalid for a band as wide as the price.
    """
    symbol = Symbol.objects.get(pk=symbol_id)
    latest = _latest_commands(symbol)
    settings = _settings(symbol, latest)
    if again:
        latest = {}
    return _send(symbol, settings, latest, requested_by, note)


def order_limit_send(limit: OrderLimit, requested_by: int | None = None) -> list[str]:
    """Send the limits that now hold for the account: its row's, or the symbol's without a row.

    The engine cannot forget an account's own limits, and own limits of 0 mean no limit at all. So
    an account that loses its row is sent the limits of everyone as its own, also after each change.
    """
    symbol = Symbol.objects.get(pk=limit.symbol_id)
    latest = _latest_commands(symbol)
    accounts = account_ids_of([limit.user_id])
    settings = {
        key: setting
        for key, setting in _settings(symbol, latest).items()
        if key[0] is CommandKind.SET_LIMITS and key[1] in accounts
    }
    return _send(symbol, settings, latest, requested_by, "")


def symbol_rules_converge() -> int:
    """Send the rules of all symbols that the engine was not sent; return the number of commands."""
    sent = 0
    for symbol_id in Symbol.objects.order_by("pk").values_list("pk", flat=True):
        try:
            sent += len(symbol_rules_send(symbol_id, note=CLOCK_NOTE))
        except DomainError as error:  # other symbols go on; the next run tries again
            log.warning("symbol_rules.not_sent", symbol_id=symbol_id, error=error.detail)
    return sent


def _send(
    symbol: Symbol,
    settings: Mapping[Key, Setting],
    latest: Mapping[Key, Command],
    requested_by: int | None,
    note: str,
) -> list[str]:
    sent = []
    for (kind, number), setting in settings.items():
        if _is_in_force(
            setting.build(command_id=0, symbol_id=symbol.pk), latest.get((kind, number))
        ):
            continue
        is_of_account = kind is CommandKind.SET_LIMITS and number != ALL_ACCOUNTS
        intake().submit(
            CommandJob(
                kind,
                setting.build,
                symbol_id=symbol.pk,
                partition_id=symbol.partition_id,
                account_id=number if is_of_account else None,
                requested_by=requested_by,
                note=note,
            )
        )
        sent.append(setting.words)
    if sent:
        log.info("symbol_rules.sent", symbol=symbol.code, sent=sent, requested_by=requested_by)
    return sent


# --- what was sent


def _latest_commands(symbol: Symbol) -> dict[Key, Command]:
    """Return the latest command by key that was sent to the symbol's engine, applied or not.

    A refused command counts as sent: sent again every minute, it would fail every minute.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LATEST_COMMANDS, (symbol.pk, symbol.partition_id))
        commands = [decode_command(bytes(payload)) for (payload,) in cursor.fetchall()]
    return {_key(command): command for command in commands}


def _key(command: Command) -> Key:
    match command:
        case SetLimits():
            return CommandKind.SET_LIMITS, command.account_id
        case SetFeature():
            return CommandKind.SET_FEATURE, command.feature
        case _:
            assert isinstance(command, SetBand)
            return CommandKind.SET_BAND, 0


def _is_in_force(wanted: Command, latest: Command | None) -> bool:
    """Tell whether the engine applies this rule already.

    Without any command it has no band and no limits of everyone.
    """
    if latest is None:
        match wanted:
            case SetBand(band_ppm=0):
                return True
            case SetLimits(account_id=account_id, open_orders_max=0, stop_orders_max=0):
                return account_id == ALL_ACCOUNTS
            case _:
                return False
    if isinstance(latest, SetBand):
        latest = replace(latest, reference_ticks=0)  # staff or the market move the reference
    return replace(latest, command_id=wanted.command_id, time_ms=wanted.time_ms) == wanted


# --- what should hold


def _settings(symbol: Symbol, latest: Collection[Key]) -> dict[Key, Setting]:
    if symbol.state == SymbolState.CLOSED:
        return {}  # closing is final: no rule applies any more
    feature = Setting(
        "prevented matches are reported",
        partial(
            set_feature_command,
            feature=FEATURE_REPORT_PREVENTED,
            is_on=True,
        ),
    )
    return {
        (CommandKind.SET_FEATURE, FEATURE_REPORT_PREVENTED): feature,
        (CommandKind.SET_BAND, 0): _band(symbol),
        **_limits(symbol, latest),
    }


def _band(symbol: Symbol) -> Setting:
    """Return the setting of the price band. Without a band all of its fields are sent as 0."""
    if symbol.band_ppm >= PPM:
        rule = f"below {PPM}, the whole price"
        raise DomainError(Code.REQUEST_FIELD_INVALID, field="band_ppm", rule=rule)
    if not symbol.band_ppm:
        off = partial(set_band_command, band_ppm=0, move_ppm=0, move_after_ms=0)
        return Setting("no price band", off)
    has_interruptions = symbol.interruption_limit_s > 0
    build = partial(
        set_band_command,
        band_ppm=symbol.band_ppm,
        move_ppm=symbol.band_move_ppm,
        move_after_ms=symbol.band_move_after_s * 1_000,
        limit_ms=symbol.interruption_limit_s * 1_000,
        pause_ms=symbol.interruption_pause_s * 1_000 if has_interruptions else 0,
        call_ms=symbol.interruption_auction_s * 1_000 if has_interruptions else 0,
        both_sides=symbol.band_both_sides,
    )
    pauses = "with" if has_interruptions else "without"
    sides = " on both sides," if symbol.band_both_sides else ""
    return Setting(f"a price band of {symbol.band_ppm} ppm{sides} {pauses} interruptions", build)


def _limits(symbol: Symbol, latest: Collection[Key]) -> dict[Key, Setting]:
    """Return the limits of everyone, and of accounts that have, or had, limits of their own."""
    limits = {ALL_ACCOUNTS: (symbol.open_orders_max, symbol.stop_orders_max)}
    for kind, number in latest:
        if kind is CommandKind.SET_LIMITS:
            limits[number] = limits[ALL_ACCOUNTS]
    own = OrderLimit.objects.filter(symbol=symbol).values_list(
        "user_id", "open_orders_max", "stop_orders_max"
    )
    by_user = {user_id: (open_max, stops_max) for user_id, open_max, stops_max in own}
    accounts = account_ids_of(by_user)
    limits.update((account_id, by_user[user_id]) for account_id, user_id in accounts.items())
    return {
        (CommandKind.SET_LIMITS, account_id): _limit(account_id, *maxima)
        for account_id, maxima in sorted(limits.items())
    }


def _limit(account_id: int, open_max: int, stops_max: int) -> Setting:
    build = partial(
        set_limits_command,
        account_id=account_id,
        open_orders_max=open_max,
        stop_orders_max=stops_max,
    )
    who = "everyone" if account_id == ALL_ACCOUNTS else f"account {account_id}"
    return Setting(
        f"limits of {who}: {open_max or 'any number of'} open orders,"
        f" {stops_max or 'any number of'} waiting ones",
        build,
    )
