"""orders.markets.rules: the engine is told every rule that differs, and none twice."""

from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from exchange.domain.codes import Code
from exchange.domain.enums import SymbolState
from exchange.domain.errors import DomainError
from exchange.domain.ids import id_time_ms
from exchange.models import Symbol, User
from exchange.selectors import catalogue_forget
from matching.engine.core import Engine
from matching.engine.messages import (
    ALL_ACCOUNTS,
    GTC,
    OrderRejected,
    Place,
    SetBand,
    SetLimits,
    SetState,
)
from matching.state.codec import decode_command, encode_command
from orders.commands.words import STATES
from orders.intake.process import intake_stop
from orders.markets.rules import order_limit_send, symbol_rules_converge, symbol_rules_send
from orders.markets.states import symbol_state_ahead, symbol_state_request
from orders.models import Command
from risk.models import OrderLimit
from tests.factories.models import AccountFactory, SymbolFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Symbols are read afresh, and the intake thread does not outlive its test."""
    catalogue_forget()
    yield
    intake_stop()


def banded(code: str = "BTC-USDT", **changes: object) -> Symbol:
    """A symbol with a band, interruptions and limits; `changes` override any column."""
    values = {
        "band_ppm": 50_000,
        "interruption_limit_s": 15,
        "interruption_pause_s": 120,
        "interruption_auction_s": 30,
        "open_orders_max": 100,
        "stop_orders_max": 20,
    }
    return SymbolFactory.create(code=code, **{**values, **changes})


def trader(name: str) -> tuple[User, int]:
    account = AccountFactory.create(user__username=name)
    return account.user, account.pk


def commands(symbol: Symbol) -> list[object]:
    rows = Command.objects.filter(symbol_id=symbol.pk).order_by("pk")
    return [decode_command(bytes(row.payload)) for row in rows]


def kinds(symbol: Symbol) -> list[str]:
    return list(
        Command.objects.filter(symbol_id=symbol.pk).order_by("pk").values_list("kind", flat=True)
    )


def sequenced(symbol: Symbol) -> None:
    """Let the rows look as if the engine had obeyed them in the order of their ids."""
    for place, row in enumerate(Command.objects.filter(symbol_id=symbol.pk).order_by("pk"), 1):
        Command.objects.filter(pk=row.pk).update(engine_seq=place)


def band_of(symbol: Symbol) -> SetBand:
    [band] = [one for one in commands(symbol) if isinstance(one, SetBand)][-1:]
    return band


def limits_of(symbol: Symbol) -> list[tuple[int, int, int]]:
    return [
        (one.account_id, one.open_orders_max, one.stop_orders_max)
        for one in commands(symbol)
        if isinstance(one, SetLimits)
    ]


# --- rules of a symbol


def test_rules_of_a_symbol_become_one_command_each_with_who_asked_and_why() -> None:
    symbol = banded()
    sent = symbol_rules_send(symbol.pk, 7, note="a new band")
    assert len(sent) == 3
    assert kinds(symbol) == ["set_feature", "set_band", "set_limits"]
    band = band_of(symbol)
    assert (band.band_ppm, band.move_ppm, band.move_after_ms) == (50_000, 10_000, 30_000)
    assert (band.limit_ms, band.pause_ms, band.call_ms) == (15_000, 120_000, 30_000)
    assert band.reference_ticks == 0, "the reference stays where the market has it"
    assert limits_of(symbol) == [(ALL_ACCOUNTS, 100, 20)]
    for row in Command.objects.filter(symbol_id=symbol.pk):
        assert (row.requested_by, row.note, row.partition_id) == (7, "a new band", 1)
        command = decode_command(bytes(row.payload))
        assert (command.command_id, command.time_ms) == (row.pk, id_time_ms(row.pk))


@pytest.mark.parametrize("obeyed", [False, True])
def test_rules_that_were_sent_are_not_sent_again(obeyed: bool) -> None:
    symbol = banded()
    symbol_rules_send(symbol.pk)
    if obeyed:
        sequenced(symbol)
    assert symbol_rules_send(symbol.pk) == []
    assert symbol_rules_converge() == 0
    assert len(commands(symbol)) == 3


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("band_ppm", 60_000, "set_band"),
        ("band_move_after_s", 60, "set_band"),
        ("band_both_sides", True, "set_band"),
        ("interruption_limit_s", 0, "set_band"),
        ("interruption_auction_s", 31, "set_band"),
        ("open_orders_max", 0, "set_limits"),
        ("stop_orders_max", 1, "set_limits"),
    ],
)
def test_only_what_differs_is_sent(column: str, value: int, kind: str) -> None:
    symbol = banded()
    symbol_rules_send(symbol.pk)
    Symbol.objects.filter(pk=symbol.pk).update(**{column: value})
    assert len(symbol_rules_send(symbol.pk)) == 1
    assert kinds(symbol)[3:] == [kind]


def test_what_the_engine_does_unasked_is_not_sent() -> None:
    symbol = SymbolFactory.create(code="BTC-USDT", band_ppm=0, open_orders_max=0)
    symbol_rules_send(symbol.pk)
    assert kinds(symbol) == ["set_feature"]


def test_band_and_limits_are_taken_away_by_command() -> None:
    symbol = banded()
    symbol_rules_send(symbol.pk)
    Symbol.objects.filter(pk=symbol.pk).update(band_ppm=0, open_orders_max=0, stop_orders_max=0)
    symbol_rules_send(symbol.pk)
    assert band_of(symbol).band_ppm == 0
    assert limits_of(symbol)[-1] == (ALL_ACCOUNTS, 0, 0)
    Symbol.objects.filter(pk=symbol.pk).update(band_move_ppm=5, interruption_pause_s=5)
    assert symbol_rules_send(symbol.pk) == [], "without a band its steps say nothing"


def test_a_reference_that_was_moved_by_hand_stays() -> None:
    symbol = banded()
    symbol_rules_send(symbol.pk)
    row = Command.objects.get(kind="set_band")
    told = decode_command(bytes(row.payload))
    assert isinstance(told, SetBand)
    told.reference_ticks = 6_400_000
    Command.objects.filter(pk=row.pk).update(payload=encode_command(told))
    assert symbol_rules_send(symbol.pk) == []


def test_what_the_engine_obeyed_last_counts_and_not_the_highest_id() -> None:
    symbol = banded()
    symbol_rules_send(symbol.pk)
    first = Command.objects.get(kind="set_band")
    Symbol.objects.filter(pk=symbol.pk).update(band_ppm=60_000)
    symbol_rules_send(symbol.pk)
    Command.objects.filter(kind="set_band").exclude(pk=first.pk).update(engine_seq=5)
    Command.objects.filter(pk=first.pk).update(engine_seq=9)
    assert len(symbol_rules_send(symbol.pk)) == 1
    assert band_of(symbol).band_ppm == 60_000


def test_again_sends_what_was_sent_before() -> None:
    symbol = banded()
    symbol_rules_send(symbol.pk)
    assert len(symbol_rules_send(symbol.pk, again=True)) == 3
    assert symbol_rules_send(symbol.pk) == []


def test_a_closed_symbol_is_told_nothing() -> None:
    symbol = banded(state=SymbolState.CLOSED)
    assert symbol_rules_send(symbol.pk) == []
    assert not commands(symbol)


def test_a_band_as_wide_as_the_price_is_refused_and_others_are_told_all_the_same() -> None:
    impossible, good = banded(band_ppm=1_000_000), banded("ETH-USDT")
    with pytest.raises(DomainError) as refusal:
        symbol_rules_send(impossible.pk)
    assert (refusal.value.code, refusal.value.field) == (Code.REQUEST_FIELD_INVALID, "band_ppm")
    assert symbol_rules_converge() == 3
    assert not commands(impossible)
    assert len(commands(good)) == 3


def test_what_was_saved_while_nothing_was_taken_goes_out_with_the_next_look() -> None:
    symbol = banded()
    symbol_rules_send(symbol.pk)
    Symbol.objects.filter(pk=symbol.pk).update(band_ppm=70_000)  # and nothing was sent
    assert symbol_rules_converge() == 1
    assert band_of(symbol).band_ppm == 70_000
    assert symbol_rules_converge() == 0


# --- limits of one account


def refusal_of(symbol: Symbol, account_id: int, *, open_orders: int) -> str | None:
    """Why an engine that was told all of this refuses the account one order more."""
    engine = Engine()
    for command in commands(symbol):
        engine.apply(command)  # type: ignore[arg-type]  # each is a command
    events = []
    for number in range(1, open_orders + 2):
        events = engine.apply(Place(number, 10**13, symbol.pk, number, account_id, 0, 100, 1, GTC))
    return events[0].code if isinstance(events[0], OrderRejected) else None


def test_limits_of_one_account_go_before_those_of_everyone() -> None:
    symbol = banded(open_orders_max=2)
    user, account_id = trader("ada")
    symbol_rules_send(symbol.pk)
    limit = OrderLimit.objects.create(
        user=user, symbol=symbol, open_orders_max=4, stop_orders_max=0
    )
    assert len(order_limit_send(limit, 7)) == 1
    row = Command.objects.order_by("pk").last()
    assert row is not None
    assert (row.kind, row.account_id, row.requested_by) == ("set_limits", account_id, 7)
    assert refusal_of(symbol, account_id, open_orders=3) is None
    assert refusal_of(symbol, account_id, open_orders=4) == Code.ORDER_OPEN_ORDERS_MAX
    assert refusal_of(symbol, account_id + 1, open_orders=2) == Code.ORDER_OPEN_ORDERS_MAX
    assert symbol_rules_converge() == 0


def test_an_account_that_lost_its_limits_has_everyones_also_when_these_change() -> None:
    symbol = banded(open_orders_max=2)
    user, account_id = trader("ada")
    symbol_rules_send(symbol.pk)
    limit = OrderLimit.objects.create(
        user=user, symbol=symbol, open_orders_max=0, stop_orders_max=0
    )
    order_limit_send(limit)
    assert refusal_of(symbol, account_id, open_orders=50) is None, "0 is no limit"
    kept = OrderLimit(pk=limit.pk, user=user, symbol=symbol)
    limit.delete()
    assert len(order_limit_send(kept)) == 1
    assert refusal_of(symbol, account_id, open_orders=2) == Code.ORDER_OPEN_ORDERS_MAX
    Symbol.objects.filter(pk=symbol.pk).update(open_orders_max=3)
    assert symbol_rules_converge() == 2
    assert refusal_of(symbol, account_id, open_orders=2) is None
    assert refusal_of(symbol, account_id, open_orders=3) == Code.ORDER_OPEN_ORDERS_MAX


def test_a_limit_of_a_user_without_account_is_sent_when_there_is_one() -> None:
    symbol = banded()
    user = UserFactory.create(username="ada", password="x")
    symbol_rules_send(symbol.pk)
    limit = OrderLimit.objects.create(
        user=user, symbol=symbol, open_orders_max=4, stop_orders_max=1
    )
    assert order_limit_send(limit) == []
    account_id = AccountFactory.create(user=user).pk
    assert symbol_rules_converge() == 1
    assert limits_of(symbol)[-1] == (account_id, 4, 1)


def test_a_limit_concerns_its_symbol_alone() -> None:
    one, other = banded(), banded("ETH-USDT")
    user, _ = trader("ada")
    limit = OrderLimit.objects.create(user=user, symbol=one, open_orders_max=4, stop_orders_max=1)
    order_limit_send(limit)
    assert len(limits_of(one)) == 1
    assert not commands(other)


# --- manage.py symbol_rules


def run(*words: str) -> str:
    out = StringIO()
    call_command("symbol_rules", *words, stdout=out, stderr=out)
    return out.getvalue()


def test_the_command_says_what_it_sent_and_then_that_the_engine_knows() -> None:
    symbol = banded()
    assert "a price band of 50000 ppm with interruptions" in run("--symbol", "BTC-USDT")
    assert len(commands(symbol)) == 3
    assert run("--all") == "BTC-USDT: the engine knows\n"
    run("--all", "--again")
    assert len(commands(symbol)) == 6


def test_the_command_names_symbols_that_are_unknown_or_could_not_be_told() -> None:
    banded(band_ppm=2_000_000)
    with pytest.raises(CommandError, match="no symbol NO-PE"):
        run("--symbol", "NO-PE")
    with pytest.raises(CommandError, match="not told: BTC-USDT"):
        run("--all")
    assert not Command.objects.exists()


# --- market states


def ask(symbol: Symbol, state: SymbolState) -> int:
    return symbol_state_request(symbol_id=symbol.pk, state=state, requested_by=7, note="why")


@pytest.mark.parametrize("state", list(SymbolState))
def test_every_market_state_is_asked_for_by_command(state: SymbolState) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    command_id = ask(symbol, state)
    row = Command.objects.get(pk=command_id)
    assert (row.kind, row.requested_by, row.note) == ("set_state", 7, "why")
    command = decode_command(bytes(row.payload))
    assert isinstance(command, SetState)
    assert command.state == STATES[state]
    symbol.refresh_from_db()
    assert symbol.state == SymbolState.OPEN, "only the engine's results write the state"
    assert symbol_state_ahead(symbol.pk) is state


@pytest.mark.parametrize("state", list(SymbolState))
@pytest.mark.parametrize("is_obeyed", [True, False])
def test_nothing_leaves_closed_and_nothing_is_sent(state: SymbolState, is_obeyed: bool) -> None:
    symbol = SymbolFactory.create(
        code="BTC-USDT", state=SymbolState.CLOSED if is_obeyed else SymbolState.OPEN
    )
    if not is_obeyed:
        ask(symbol, SymbolState.CLOSED)  # on its way
    before = Command.objects.count()
    with pytest.raises(DomainError) as refusal:
        ask(symbol, state)
    assert refusal.value.code is Code.SYMBOL_CLOSED
    assert Command.objects.count() == before
