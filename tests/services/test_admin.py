"""Permissions of the back office: money and the engine's rows are read-only."""

import re
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from adminpanel.admin.readonly import COUNT_MAX
from exchange.domain.ids import id_floor
from exchange.models import Brand, Symbol
from exchange.selectors import catalogue_forget
from orders.intake.process import intake_stop
from orders.models import Command, EnginePartition, Trade
from tests.factories.models import SymbolFactory, UserFactory, accounts_at

pytestmark = pytest.mark.django_db

READ_ONLY = (
    "orders_order", "orders_trade", "orders_command", "orders_enginepartition",
    "orders_enginefault", "orders_settlementcursor", "orders_orderlist", "orders_preventedmatch",
    "orders_engineimage", "wallets_entry", "wallets_balance", "wallets_account", "exchange_apikey",
)  # fmt: skip
EDITABLE = (
    "exchange_brand", "exchange_asset", "exchange_symbol", "exchange_tier",
    "exchange_feeschedule", "exchange_user", "exchange_accountgroup", "risk_orderlimit",
    "orders_scheduledstate",
)  # fmt: skip


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Symbols are read afresh, and the intake thread does not outlive its test."""
    catalogue_forget()
    yield
    intake_stop()


def staff(client: Client, *permissions: str) -> Client:
    """Sign in as staff who hold just these permissions of exchange.Symbol."""
    user = UserFactory.create(username="staff", password="x", is_staff=True)
    kind = ContentType.objects.get_for_model(Symbol)
    for codename in permissions:
        values = {"name": codename}
        permission, _ = Permission.objects.get_or_create(
            content_type=kind, codename=codename, defaults=values
        )
        user.user_permissions.add(permission)
    client.force_login(user)
    return client


def trade_make(age_ms: int) -> Trade:
    now_ms = time.time_ns() // 1_000_000
    accounts_at(1, 2)
    symbol = Symbol.objects.filter(code="BTC-USDT").first() or SymbolFactory.create(code="BTC-USDT")
    return Trade.objects.create(
        id=id_floor(now_ms - age_ms),
        symbol_id=symbol.pk,
        engine_seq=1,
        price=Decimal(1),
        quantity=Decimal(1),
        quote_amount=Decimal(1),
        maker_order_id=1,
        taker_order_id=2,
        maker_account_id=1,
        taker_account_id=2,
        taker_side="buy",
        created_at="2026-01-01T00:00:00Z",
    )


@pytest.mark.parametrize("name", [*READ_ONLY, *EDITABLE])
def test_every_list_opens(root: Client, name: str) -> None:
    SymbolFactory.create(code="BTC-USDT")
    assert root.get(reverse(f"admin:{name}_changelist")).status_code == 200


@pytest.mark.parametrize("name", READ_ONLY)
def test_not_even_a_superuser_adds_to_what_the_engine_and_ledger_own(
    root: Client, name: str
) -> None:
    assert root.get(reverse(f"admin:{name}_add")).status_code == 403


def test_not_even_a_superuser_changes_or_deletes_a_trade(root: Client) -> None:
    trade = trade_make(1_000)
    page = reverse("admin:orders_trade_change", args=[trade.pk])
    assert root.get(page).status_code == 200
    assert root.post(page, {"price": "2"}).status_code == 403
    delete = reverse("admin:orders_trade_delete", args=[trade.pk])
    assert root.post(delete, {"post": "yes"}).status_code == 403
    trade.refresh_from_db()
    assert trade.price == 1


def test_customers_do_not_reach_the_back_office(client: Client) -> None:
    client.force_login(UserFactory.create(username="ada", password="x"))
    response = client.get(reverse("admin:index"))
    assert response.status_code == 302
    assert "/admin/login" in response["Location"]


def test_partitioned_lists_bound_the_id_and_never_count_everything(root: Client) -> None:
    recent, old = trade_make(60_000), trade_make(23 * 3_600_000)
    page = reverse("admin:orders_trade_changelist")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = root.get(page, {"period": "hour"})
    assert [trade.pk for trade in response.context["cl"].result_list] == [recent.pk]
    about_trades = [item["sql"] for item in queries if '"orders_trade"' in item["sql"]]
    assert about_trades
    for sql in about_trades:
        assert '"orders_trade"."id" >= ' in sql, sql
        assert "COUNT(" not in sql or f"LIMIT {COUNT_MAX}" in sql, sql
    assert old.pk not in [trade.pk for trade in response.context["cl"].result_list]


def test_search_takes_numbers_and_nothing_else(root: Client) -> None:
    trade = trade_make(60_000)
    page = reverse("admin:orders_trade_changelist")
    found = root.get(page, {"q": str(trade.pk)}).context["cl"].result_list
    assert [one.pk for one in found] == [trade.pk]
    for term in ("' OR 1=1", "9" * 40, "²"):
        assert not root.get(page, {"q": term}).context["cl"].result_list


def halt(client: Client, symbol: Symbol, action: str = "halt", note: str = "odd prices") -> str:
    response = client.post(
        reverse("admin:exchange_symbol_changelist"),
        {"action": action, "_selected_action": [str(symbol.pk)], "note": note},
        follow=True,
    )
    return response.content.decode()


@pytest.mark.django_db(transaction=True)
def test_halt_is_a_command_and_never_an_update(client: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    page = halt(staff(client, "view_symbol", "change_symbol", "halt_symbol"), symbol)
    assert "on its way to the engine" in page
    command = Command.objects.get(symbol_id=symbol.pk)
    assert (command.kind, command.note) == ("set_state", "odd prices")
    symbol.refresh_from_db()
    assert symbol.state == "open", "only the engine's results write the state"


def test_halt_without_the_permission_sends_nothing(client: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    halt(staff(client, "view_symbol", "change_symbol"), symbol)
    assert not Command.objects.exists()


def test_halt_without_a_reason_sends_nothing(root: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    assert "Give a reason" in halt(root, symbol, note="  ")
    assert not Command.objects.exists()


def form_of(page: str) -> set[str]:
    return set(re.findall(r'<(?:input|select|textarea)[^>]* name="([^"]+)"', page))


def test_grid_of_a_symbol_is_fixed_once_it_traded_and_its_state_always(root: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    page = reverse("admin:exchange_symbol_change", args=[symbol.pk])
    fields = form_of(root.get(page).content.decode())
    assert {"tick", "lot", "base"} <= fields
    assert "state" not in fields
    EnginePartition.objects.filter(pk=1).update(feed_sequences={str(symbol.pk): 1})
    fields = form_of(root.get(page).content.decode())
    assert not {"tick", "lot", "base", "quote", "code", "state"} & fields
    assert {"band_ppm", "is_listed"} <= fields


def test_saving_a_symbol_leaves_a_state_that_changed_meanwhile(root: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    page = reverse("admin:exchange_symbol_change", args=[symbol.pk])
    form = root.get(page).context["adminform"].form
    values = {name: form.initial.get(name, "") for name in form.fields}
    Symbol.objects.filter(pk=symbol.pk).update(state="halt")
    response = root.post(page, {**values, "band_ppm": "777", "is_listed": "on"})
    assert response.status_code == 302, form_errors(response)
    symbol.refresh_from_db()
    assert (symbol.band_ppm, symbol.state) == (777, "halt")


def form_errors(response: object) -> object:
    context = getattr(response, "context", None)
    return context["errors"] if context else None


def test_brand_colours_must_be_colours(root: Client) -> None:
    values = {
        "slug": "x", "name": "X", "colour_primary": "red;} body{", "colour_accent": "#ffffff",
    }  # fmt: skip
    assert root.post(reverse("admin:exchange_brand_add"), values).status_code == 200
    assert not Brand.objects.filter(slug="x").exists()
