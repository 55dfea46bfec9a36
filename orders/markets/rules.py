"""The rules that the engine itself goes by: price bands, limits of orders, switches of behaviour.

Rows of the back office say what should hold; the engine goes by the commands that it was sent.
Both are compared here, and only what differs is sent: a repetition sends nothing, and what was
saved while commands could not be taken goes out with the next look (a task looks every minute).
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
from orders.intake.thread import intake
from risk.models import OrderLimit
from wallets.selectors import account_ids_of

# In the order in which the engine obeyed, or will. The kinds stand here because there is an index
# over just these.
_TOLD = """
SELECT payload FROM orders_command
WHERE symbol_id = %s AND partition_id = %s AND kind IN ('set_band', 'set_limits', 'set_feature')
ORDER BY engine_seq NULLS LAST, id
"""
CLOCK_NOTE: Final = "sent by the clock"

# What a setting replaces. The number is an account of limits, a feature, or 0.
Key = tuple[CommandKind, int]

log = structlog.get_logger(__name__)


class Setting(NamedTuple):
    """One thing that the engine should know: in words, and as the command of an id."""

    words: str
    build: Build


def symbol_rules_send(
    symbol_id: int, requested_by: int | None = None, *, note: str = "", again: bool = False
) -> list[str]:
    """Send what the engine was not told yet of a symbol's rules; return what was sent, in words.

    These are the report of prevented matches, the price band, the limits of everyone, and those of
    each account that has, or had, its own. `again` sends what was sent before, too. Raises what
    Intake.submit raises, and request.field_invalid for a band that cannot be.
    """
    symbol = Symbol.objects.get(pk=symbol_id)
    told = _told(symbol)
    settings = _settings(symbol, told)
    if again:
        told = {}
    return _send(symbol, settings, told, requested_by, note)


def order_limit_send(limit: OrderLimit, requested_by: int | None = None) -> list[str]:
    """Send what now holds for the limit's account: its row, or where that is gone, the symbol's.

    The engine cannot forget an account's own limits, and own ones of 0 are no limit at all. So an
    account that loses its row is told what everyone has, and hears of each change from then on.
    """
    symbol = Symbol.objects.get(pk=limit.symbol_id)
    told = _told(symbol)
    accounts = account_ids_of([limit.user_id])
    settings = {
        key: setting
        for key, setting in _settings(symbol, told).items()
        if key[0] is CommandKind.SET_LIMITS and key[1] in accounts
    }
    return _send(symbol, settings, told, requested_by, "")


def symbol_rules_converge() -> int:
    """Send what the engine was not told of any symbol; return how many commands that took."""
    sent = 0
    for symbol_id in Symbol.objects.order_by("pk").values_list("pk", flat=True):
        try:
            sent += len(symbol_rules_send(symbol_id, note=CLOCK_NOTE))
        except DomainError as error:  # the next look may be luckier; the others have theirs now
            log.warning("symbol_rules.not_sent", symbol_id=symbol_id, error=error.detail)
    return sent


def _send(
    symbol: Symbol,
    settings: Mapping[Key, Setting],
    told: Mapping[Key, Command],
    requested_by: int | None,
    note: str,
) -> list[str]:
    sent = []
    for (kind, number), setting in settings.items():
        if _is_told(setting.build(command_id=0, symbol_id=symbol.pk), told.get((kind, number))):
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


def _told(symbol: Symbol) -> dict[Key, Command]:
    """The latest command of each kind that was sent to the symbol's engine, obeyed yet or not.

    One that the engine refused counts, too: sent again every minute it would fail every minute.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TOLD, (symbol.pk, symbol.partition_id))
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


def _is_told(wanted: Command, told: Command | None) -> bool:
    """Whether the engine goes by this already; untold, it has no band and no limits of everyone."""
    if told is None:
        match wanted:
            case SetBand(band_ppm=0):
                return True
            case SetLimits(account_id=account_id, open_orders_max=0, stop_orders_max=0):
                return account_id == ALL_ACCOUNTS
            case _:
                return False
    if isinstance(told, SetBand):
        told = replace(told, reference_ticks=0)  # a reference is moved by hand, or by the market
    return replace(told, command_id=wanted.command_id, time_ms=wanted.time_ms) == wanted


# --- what should hold


def _settings(symbol: Symbol, told: Collection[Key]) -> dict[Key, Setting]:
    if symbol.state == SymbolState.CLOSED:
        return {}  # for ever: nothing will go by it
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
        **_limits(symbol, told),
    }


def _band(symbol: Symbol) -> Setting:
    """The price band. Without one, the rest of its fields says nothing and is sent as 0."""
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


def _limits(symbol: Symbol, told: Collection[Key]) -> dict[Key, Setting]:
    """Of everyone, of the accounts with limits of their own, and of those that had some."""
    limits = {ALL_ACCOUNTS: (symbol.open_orders_max, symbol.stop_orders_max)}
    for kind, number in told:
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
