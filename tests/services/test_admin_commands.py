"""Commands of staff from the back office: by whom, why, and as which engine command."""

import time
from collections.abc import Iterator

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from exchange.domain.enums import SymbolState
from exchange.domain.ids import id_floor
from exchange.infra.redis import redis_client, state_key
from exchange.models import AccountGroup, Symbol, User
from exchange.realtime.frames import MarketState, SymbolText, state_frame
from exchange.selectors import catalogue_forget
from matching.engine.messages import ALL_ACCOUNTS, CancelAll, SetLimits, SetState
from matching.state.codec import decode_command
from orders.commands.words import STATES
from orders.intake.process import intake_stop
from orders.models import Command, Order, PreventedMatch
from risk.models import OrderLimit
from tests.factories.models import (
    AccountFactory,
    ApiKeyFactory,
    SymbolFactory,
    UserFactory,
    accounts_at,
)
from wallets.models import Reservation

pytestmark = pytest.mark.django_db(transaction=True)

SYMBOLS = "admin:exchange_symbol_changelist"
USERS = "admin:exchange_user_changelist"
KEYS = "admin:exchange_apikey_changelist"
STATES_BY_ACTION = {
    "halt": SymbolState.HALT,
    "resume": SymbolState.OPEN,
    "pre_open": SymbolState.PRE_OPEN,
    "auction": SymbolState.AUCTION,
    "auction_cutoff": SymbolState.AUCTION_CUTOFF,
    "post_only": SymbolState.POST_ONLY,
    "cancel_only": SymbolState.CANCEL_ONLY,
}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Symbols are read afresh, and the intake thread does not outlive its test."""
    catalogue_forget()
    yield
    intake_stop()


def staff(client: Client, *permissions: str) -> User:
    """Sign in as staff with just these permissions."""
    user = UserFactory.create(username="staff", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    assert user.user_permissions.count() == len(permissions)
    client.force_login(user)
    return user


def root(client: Client) -> User:
    user = UserFactory.create(superuser=True, username="root", password="x")
    client.force_login(user)
    return user


def act(client: Client, page: str, action: str, *chosen: int, **values: str) -> str:
    """Run an action on a list; return the page that it leads to."""
    body = {"action": action, "_selected_action": [str(one) for one in chosen], **values}
    return client.post(reverse(page), body, follow=True).content.decode()


def sent() -> list[object]:
    return [decode_command(bytes(row.payload)) for row in Command.objects.order_by("pk")]


# --- market states


@pytest.mark.parametrize(("action", "state"), STATES_BY_ACTION.items())
def test_each_action_asks_for_its_state_with_who_and_why(
    client: Client, action: str, state: SymbolState
) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    user = staff(client, "view_symbol", "halt_symbol")
    assert "on its way to the engine" in act(client, SYMBOLS, action, symbol.pk, note="a test")
    row = Command.objects.get()
    command = decode_command(bytes(row.payload))
    assert isinstance(command, SetState)
    assert command.state == STATES[state]
    assert (row.kind, row.requested_by, row.note) == ("set_state", user.pk, "a test")
    symbol.refresh_from_db()
    assert symbol.state == SymbolState.OPEN, "only the engine's results write the state"
    assert "a test" in LogEntry.objects.get(user=user).change_message


@pytest.mark.parametrize("action", [*STATES_BY_ACTION, "close_for_ever", "cancel_orders"])
def test_no_action_without_the_permission(client: Client, action: str) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    staff(client, "view_symbol", "change_symbol")
    act(client, SYMBOLS, action, symbol.pk, note="a test", codes="BTC-USDT")
    assert not Command.objects.exists()


@pytest.mark.parametrize("action", [*STATES_BY_ACTION, "close_for_ever", "cancel_orders"])
def test_no_action_without_a_reason(client: Client, action: str) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    root(client)
    page = act(client, SYMBOLS, action, symbol.pk, note=" ", codes="BTC-USDT")
    assert "Give a reason" in page
    assert not Command.objects.exists()


@pytest.mark.parametrize("action", STATES_BY_ACTION)
def test_a_closed_symbol_is_left_alone_and_its_neighbour_is_not(
    client: Client, action: str
) -> None:
    closed = SymbolFactory.create(code="BTC-USDT", state=SymbolState.CLOSED)
    other = SymbolFactory.create(code="ETH-USDT")
    root(client)
    page = act(client, SYMBOLS, action, closed.pk, other.pk, note="a test")
    assert "BTC-USDT is closed for ever" in page
    assert [row.symbol_id for row in Command.objects.all()] == [other.pk]


def test_closing_is_asked_for_twice(client: Client) -> None:
    symbols = [SymbolFactory.create(code="BTC-USDT"), SymbolFactory.create(code="ETH-USDT")]
    chosen = [symbol.pk for symbol in symbols]
    root(client)
    page = act(client, SYMBOLS, "close_for_ever", *chosen, note="delisted")
    assert "Closing is final" in page
    assert page.count('name="_selected_action"') == len(chosen)
    for codes in ("", "BTC-USDT", "BTC-USDT XRP-USDT"):
        page = act(client, SYMBOLS, "close_for_ever", *chosen, note="delisted", codes=codes)
        assert "Closing is final" in page
        assert not Command.objects.exists(), codes
    act(client, SYMBOLS, "close_for_ever", *chosen, note="delisted", codes="eth-usdt BTC-USDT")
    commands = sent()
    assert [type(one) for one in commands] == [SetState, SetState]
    assert {one.state for one in commands if isinstance(one, SetState)} == {
        STATES[SymbolState.CLOSED]
    }


# --- mass cancels


def live_order(symbol: Symbol, account_id: int, order_id: int) -> None:
    """What says that an account has something to cancel: a reservation."""
    Reservation.objects.create(
        order_id=order_id, account_id=account_id, asset_id=symbol.quote_id, symbol_id=symbol.pk,
        side="buy", price_ticks=1, amount=1, maker_fee_ppm=0, taker_fee_ppm=0,
    )  # fmt: skip


def trader(name: str = "ada") -> tuple[User, int]:
    account = AccountFactory.create(user__username=name)
    return account.user, account.pk


def test_all_orders_of_a_symbol_end_whoever_placed_them(client: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    user = staff(client, "view_symbol", "halt_symbol")
    act(client, SYMBOLS, "cancel_orders", symbol.pk, note="a fault")
    row = Command.objects.get()
    assert (row.kind, row.symbol_id, row.requested_by, row.note) == (
        "cancel_all", symbol.pk, user.pk, "a fault",
    )  # fmt: skip
    [command] = sent()
    assert isinstance(command, CancelAll)
    assert (command.account_id, command.side, command.owner_tag) == (ALL_ACCOUNTS, -1, 0)


def test_all_orders_of_a_user_end_in_each_symbol_where_there_are_some(client: Client) -> None:
    symbols = [
        SymbolFactory.create(code="BTC-USDT"),
        SymbolFactory.create(code="ETH-USDT"),
        SymbolFactory.create(code="XRP-USDT"),
    ]
    user, account_id = trader()
    for number, symbol in enumerate(symbols[:2]):
        live_order(symbol, account_id, number + 1)
    chief = staff(client, "view_user", "halt_symbol")
    assert "BTC-USDT, ETH-USDT" in act(client, USERS, "cancel_orders", user.pk, note="left")
    rows = Command.objects.order_by("pk")
    assert [(row.kind, row.symbol_id) for row in rows] == [
        ("cancel_all", symbol.pk) for symbol in symbols[:2]
    ]
    assert {(row.account_id, row.requested_by, row.note) for row in rows} == {
        (account_id, chief.pk, "left")
    }


def test_all_orders_of_an_api_key_end_and_only_these(client: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    user, account_id = trader()
    live_order(symbol, account_id, 1)
    key = ApiKeyFactory.create(key_id="k", user=user, secret_encrypted=b"")
    staff(client, "view_apikey", "halt_symbol")
    act(client, KEYS, "cancel_orders", key.pk, note="leaked")
    [command] = sent()
    assert isinstance(command, CancelAll)
    assert (command.account_id, command.owner_tag) == (account_id, key.pk)


@pytest.mark.parametrize(("page", "permission"), [(USERS, "user"), (KEYS, "apikey")])
def test_no_mass_cancel_without_permission_or_reason(
    client: Client, page: str, permission: str
) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    user, account_id = trader()
    live_order(symbol, account_id, 1)
    key = ApiKeyFactory.create(key_id="k", user=user, secret_encrypted=b"")
    chosen = user.pk if page == USERS else key.pk
    staff(client, f"view_{permission}")
    act(client, page, "cancel_orders", chosen, note="why not")
    root(client)
    assert "Give a reason" in act(client, page, "cancel_orders", chosen, note="")
    assert not Command.objects.exists()


def test_users_without_account_or_orders_are_told_so(client: Client) -> None:
    SymbolFactory.create(code="BTC-USDT")
    idle, _ = trader("idle")
    clerk = UserFactory.create(username="clerk", password="x")
    root(client)
    page = act(client, USERS, "cancel_orders", idle.pk, clerk.pk, note="left").lower()
    assert "idle: there are no open orders" in page
    assert "clerk: there is no trading account" in page
    assert not Command.objects.exists()


# --- rules


def form_values(client: Client, page: str) -> dict[str, object]:
    form = client.get(page).context["adminform"].form
    initial = {name: form.initial.get(name, "") for name in form.fields}
    return {name: "" if value is None else value for name, value in initial.items()}


def test_saving_a_symbol_tells_the_engine_what_changed_and_says_so(client: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    user = root(client)
    page = reverse("admin:exchange_symbol_change", args=[symbol.pk])
    values = {**form_values(client, page), "is_listed": "on", "band_ppm": "50000"}
    shown = client.post(page, values, follow=True).content.decode()
    assert "a price band of 50000 ppm without interruptions" in shown
    rows = Command.objects.order_by("pk")
    assert [row.kind for row in rows] == ["set_feature", "set_band", "set_limits"]
    assert {row.requested_by for row in rows} == {user.pk}
    client.post(page, values, follow=True)
    assert Command.objects.count() == 3, "nothing differs any more"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"band_ppm": "1000000"}, "band_ppm"),
        ({"band_ppm": "0", "interruption_limit_s": "5"}, "interruption_limit_s"),
    ],
)
def test_rules_that_cannot_be_are_refused_in_words(
    client: Client, changes: dict[str, str], field: str
) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    root(client)
    page = reverse("admin:exchange_symbol_change", args=[symbol.pk])
    response = client.post(page, {**form_values(client, page), "is_listed": "on", **changes})
    assert list(response.context["adminform"].form.errors) == [field]
    symbol.refresh_from_db()
    assert symbol.band_ppm == 0
    assert not Command.objects.exists()


def limits_sent() -> list[tuple[int, int, int]]:
    return [
        (one.account_id, one.open_orders_max, one.stop_orders_max)
        for one in sent()
        if isinstance(one, SetLimits)
    ]


@pytest.mark.parametrize("in_a_list", [False, True])
def test_a_users_limit_is_sent_when_saved_and_everyones_when_deleted(
    client: Client, in_a_list: bool
) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT", open_orders_max=50)
    user, account_id = trader()
    root(client)
    values = {
        "user": user.pk, "symbol": symbol.pk, "open_orders_max": "5", "stop_orders_max": "2",
    }  # fmt: skip
    shown = client.post(reverse("admin:risk_orderlimit_add"), values, follow=True)
    assert f"limits of account {account_id}: 5 open orders, 2 waiting" in shown.content.decode()
    assert limits_sent() == [(account_id, 5, 2)]
    limit = OrderLimit.objects.get()
    if in_a_list:
        page = "admin:risk_orderlimit_changelist"
        act(client, page, "delete_selected", limit.pk, post="yes")
    else:
        client.post(reverse("admin:risk_orderlimit_delete", args=[limit.pk]), {"post": "yes"})
    assert not OrderLimit.objects.exists()
    assert limits_sent()[1:] == [(account_id, 50, 0)]


def test_user_and_symbol_of_a_limit_stay(client: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    user, account_id = trader()
    limit = OrderLimit.objects.create(
        user=user, symbol=symbol, open_orders_max=5, stop_orders_max=2
    )
    root(client)
    page = reverse("admin:risk_orderlimit_change", args=[limit.pk])
    other = SymbolFactory.create(code="ETH-USDT")
    values = {"open_orders_max": "6", "stop_orders_max": "2", "symbol": other.pk}
    client.post(page, values)
    limit.refresh_from_db()
    assert (limit.symbol_id, limit.open_orders_max) == (symbol.pk, 6)
    assert limits_sent() == [(account_id, 6, 2)]


# --- what can be looked at


def test_a_user_has_a_group_and_a_default_mode_of_self_trade_prevention(client: Client) -> None:
    user, _ = trader()
    group = AccountGroup.objects.create(name="desks")
    root(client)
    page = client.get(reverse("admin:exchange_user_change", args=[user.pk]))
    assert {"group", "self_trade_prevention"} <= set(page.context["adminform"].form.fields)
    User.objects.filter(pk=user.pk).update(group=group)
    groups = client.get(reverse("admin:exchange_accountgroup_changelist"))
    assert [one.user_count for one in groups.context["cl"].result_list] == [1]


def test_the_list_of_symbols_tells_of_interruptions_and_auctions(client: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT", state=SymbolState.AUCTION)
    SymbolFactory.create(code="ETH-USDT")
    root(client)
    text = SymbolText(Symbol.objects.select_related("base", "quote").get(pk=symbol.pk).units())
    market = MarketState(
        state="auction",
        phase="auction",
        due_ms=1_800_000_000_000,
        indicative_ticks=6_400_000,
        indicative_lots=5_000,
        reference_ticks=6_300_000,
    )
    _, frame = state_frame(text, market, time="2027-01-15T07:59:00.000Z")
    redis = redis_client()
    redis.set(state_key("BTC-USDT"), frame)
    try:
        page = client.get(reverse(SYMBOLS)).content.decode()
    finally:
        redis.delete(state_key("BTC-USDT"))
        redis.close()
    assert "interruption: auction until 2027-01-15T08:00:00" in page
    assert "auction at 64000 for 0.5; band around 63000" in page


def prevented(match_id: int, symbol: Symbol, **changes: object) -> PreventedMatch:
    values = {
        "engine_seq": 1, "price": 1, "quantity": 1, "mode": "decrement", "maker_order_id": 11,
        "taker_order_id": 12, "maker_account_id": 21, "taker_account_id": 22,
        "taker_side": "buy", "created_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    accounts_at(21, 22, 41)
    return PreventedMatch.objects.create(id=match_id, symbol_id=symbol.pk, **{**values, **changes})


@pytest.mark.parametrize(
    "query", [{"symbol": None}, {"mode": "cancel_both"}, {"q": "31"}, {"q": "32"}, {"q": "41"}]
)
def test_prevented_matches_are_found_by_symbol_mode_order_and_account(
    client: Client, query: dict[str, str | None]
) -> None:
    one, other = SymbolFactory.create(code="BTC-USDT"), SymbolFactory.create(code="ETH-USDT")
    prevented(1, one)
    prevented(
        2, other, mode="cancel_both", maker_order_id=31, taker_order_id=32, maker_account_id=41
    )
    root(client)
    wanted = {name: value or str(other.pk) for name, value in query.items()}
    page = reverse("admin:orders_preventedmatch_changelist")
    found = client.get(page, {"period": "all", **wanted}).context["cl"].result_list
    assert [match.pk for match in found] == [2]
    assert not client.get(page, {"period": "all", "symbol": "²"}).context["cl"].result_list


def test_an_order_shows_all_of_its_terms(client: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    order_id = id_floor(time.time_ns() // 1_000_000)
    Order.objects.create(
        id=order_id, account_id=trader()[1], symbol=symbol, client_order_id="c", side="sell",
        type="trailing_stop",
        time_in_force="gtd", self_trade="none", bound_price=90, quantity=1, trail_ppm=12_300,
        activation_price=101, trigger_source="best", list_id=77, status="new",
        expires_at="2030-01-01T00:00:00Z", maker_fee_ppm=0, taker_fee_ppm=0,
        created_at="2026-01-01T00:00:00Z", updated_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    root(client)
    response = client.get(reverse("admin:orders_order_change", args=[order_id]))
    shown = {
        name for _, options in response.context["adminform"].fieldsets for name in options["fields"]
    }
    assert shown == {field.name for field in Order._meta.get_fields()}
    page = response.content.decode()
    for text in ("12300", "101", "best", "77", "Jan. 1, 2030"):
        assert text in page


def test_a_command_says_what_it_said(client: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    root(client)
    act(client, SYMBOLS, "halt", symbol.pk, note="a test")
    command = Command.objects.get()
    page = client.get(reverse("admin:orders_command_change", args=[command.pk]))
    assert "SetState(" in page.content.decode()
    Command.objects.update(payload=b"\xc1")
    page = client.get(reverse("admin:orders_command_change", args=[command.pk]))
    assert "It cannot be read." in page.content.decode()
