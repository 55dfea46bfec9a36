"""Symbols in the back office: their engine, pages and fees, and how they are unlisted."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from exchange.models import Symbol
from exchange.selectors import catalogue_forget
from matching.engine.messages import CancelAll, SetState
from matching.state.codec import decode_command
from matching.worker.ports import SILENCE_MAX_S
from orders.intake.process import intake_stop
from orders.models import Command, EnginePartition
from tests.factories.back_office import form_values
from tests.factories.models import (
    AssetFactory,
    BrandFactory,
    FeeScheduleFactory,
    SymbolFactory,
    TierFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "admin:exchange_symbol_changelist"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    catalogue_forget()
    yield
    intake_stop()


def page_of(symbol: Symbol) -> str:
    return reverse("admin:exchange_symbol_change", args=[symbol.pk])


def text_of(response: HttpResponse) -> str:
    return re.sub(r"\s+", " ", unescape(response.content.decode()))


def save(client: Client, symbol: Symbol, *, without: str = "", **changes: Any) -> HttpResponse:
    values = {**form_values(client, page_of(symbol)), **changes}
    values.pop(without, None)
    return client.post(page_of(symbol), values, follow=True)


def partition_make(partition_id: int, *, silent_s: float) -> None:
    EnginePartition.objects.create(pk=partition_id)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orders_enginepartition"
            " SET updated_at = clock_timestamp() - make_interval(secs => %s) WHERE id = %s",
            (silent_s, partition_id),
        )


def sent() -> list[object]:
    return [decode_command(bytes(row.payload)) for row in Command.objects.order_by("pk")]


# --- partitions


@pytest.mark.parametrize("partition_id", ["2", "7", "x"])
def test_a_partition_that_nobody_serves_cannot_be_chosen(root: Client, partition_id: str) -> None:
    partition_make(2, silent_s=SILENCE_MAX_S + 5)
    AssetFactory.create(code="NEW"), AssetFactory.create(code="USDT")
    address = reverse("admin:exchange_symbol_add")
    values = {**form_values(root, address), "code": "NEW-USDT", "tick": "0.01", "lot": "0.01"}
    values |= {"quantity_min": "1", "quantity_max": "9", "notional_min": "1"}
    values |= {"price_min": "1", "price_max": "9", "base": AssetFactory.create(code="NEW").pk}
    values |= {"quote": AssetFactory.create(code="USDT").pk, "partition_id": partition_id}
    refused = text_of(root.post(address, values))
    assert f"No engine serves partition {partition_id}: start `manage.py run_matching" in refused
    assert not Symbol.objects.exists()
    assert root.post(address, {**values, "partition_id": "1"}).status_code == 302
    assert Symbol.objects.get().partition_id == 1


def test_a_live_symbol_stays_on_its_partition(root: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    partition_make(2, silent_s=0)
    assert "grid" in text_of(save(root, symbol, partition_id="2"))
    symbol.refresh_from_db()
    assert symbol.partition_id == 1
    Symbol.objects.update(state="halt")
    waiting = Command.objects.create(
        id=5, partition_id=1, kind="set_band", symbol_id=symbol.pk, payload=b"", reserved_extra=0,
        created_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    assert "still wait" in text_of(save(root, symbol, partition_id="2"))
    waiting.delete()
    save(root, symbol, partition_id="2")
    symbol.refresh_from_db()
    assert symbol.partition_id == 2


def test_a_symbol_whose_engine_is_away_can_be_changed_otherwise(root: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT", partition_id=2)
    save(root, symbol, position="7")
    symbol.refresh_from_db()
    assert symbol.position == 7


def test_a_symbol_that_nobody_serves_is_an_alarm_on_every_page_of_it(root: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT", partition_id=2)
    SymbolFactory.create(code="ETH-USDT")
    for address in (reverse(LIST), page_of(symbol)):
        shown = text_of(root.get(address))
        assert "Partition 2 is NOT SERVED: no engine was ever started for it." in shown
        assert "New orders in BTC-USDT are refused" in shown
        assert "Partition 1 is" not in shown
    engines = text_of(root.get(reverse("admin:orders_enginepartition_changelist")))
    assert "Partition 2 is NOT SERVED" in engines


# --- where it is shown


def test_staff_read_where_a_symbol_is_shown(root: Client) -> None:
    first, second = SymbolFactory.create(code="BTC-USDT"), SymbolFactory.create(code="ETH-USDT")
    third = SymbolFactory.create(code="OLD-USDT", is_listed=False)
    assert "the unbranded page" in text_of(root.get(page_of(first)))
    narrow = BrandFactory.create(slug="n", name="Narrow", host="n.test")
    narrow.symbols.add(first)
    assert "NOWHERE: every brand has a list" in text_of(root.get(page_of(second)))
    BrandFactory.create(slug="w", name="Wide", is_default=True)
    assert "Narrow, Wide" in text_of(root.get(page_of(first)))
    assert "nowhere: it is not listed" in text_of(root.get(page_of(third)))
    assert "Narrow, Wide" in text_of(root.get(reverse(LIST)))
    assert "all listed symbols" in text_of(root.get(reverse("admin:exchange_brand_changelist")))


# --- fees


def test_fees_are_shown_in_percent_with_the_row_that_counts(root: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    vip = TierFactory.create(name="vip")
    TierFactory.create(name="basic")
    FeeScheduleFactory.create(tier=vip, symbol=None, maker_ppm=100, taker_ppm=450)
    FeeScheduleFactory.create(tier=None, symbol=symbol, maker_ppm=0, taker_ppm=200)
    shown = text_of(root.get(reverse("admin:exchange_feeschedule_changelist")))
    assert "a tier's row on any symbol beats the row of any tier on one symbol" in shown
    for words in ("0.045 %", "vip on any symbol", "0.02 %", "any tier on BTC-USDT"):
        assert words in shown
    page = text_of(root.get(page_of(symbol)))
    assert "vip: maker 0.01 %, taker 0.045 %" in page
    assert "basic: maker 0 %, taker 0.02 %" in page
    assert "BTC-USDT: maker 0.01 %" in text_of(
        root.get(reverse("admin:exchange_tier_change", args=[vip.pk]))
    )


# --- off the list


def test_to_unlist_asks_what_becomes_of_the_orders_and_changes_nothing_yet(root: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    asked = text_of(save(root, symbol, without="is_listed", position="9"))
    assert "Take BTC-USDT off the list" in asked
    assert "0 orders of customers rest or wait there now." in asked
    assert re.search(r'name="unlist_orders" value="cancel"[^>]* checked', asked)
    assert re.search(r'name="unlist_state" value="cancel_only"[^>]* checked', asked)
    assert 'name="position" value="9"' in asked, "what was typed goes with the answer"
    symbol.refresh_from_db()
    assert (symbol.is_listed, symbol.position) == (True, 100)
    assert sent() == []


def test_unlisting_cancels_and_stops_the_market_unless_told_otherwise(root: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    answers = {"unlist_orders": "cancel", "unlist_state": "cancel_only", "unlist_note": "merger"}
    done = text_of(save(root, symbol, without="is_listed", **answers))
    assert "the cancel of all orders is on its way" in done
    symbol.refresh_from_db()
    assert not symbol.is_listed
    state, cancel = [one for one in sent() if isinstance(one, SetState | CancelAll)]
    assert isinstance(state, SetState), "first, so that nothing enters between"
    assert isinstance(cancel, CancelAll)
    notes = Command.objects.filter(kind__in=("set_state", "cancel_all"))
    assert list(notes.values_list("note", flat=True)) == ["merger", "merger"]


def test_unlisting_may_leave_everything_as_it_is_but_wants_a_reason(root: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    answers = {"unlist_orders": "keep", "unlist_state": "keep", "unlist_note": ""}
    assert "This field is required" in text_of(save(root, symbol, without="is_listed", **answers))
    save(root, symbol, without="is_listed", **{**answers, "unlist_note": "quiet"})
    symbol.refresh_from_db()
    assert not symbol.is_listed
    assert not [one for one in sent() if isinstance(one, SetState | CancelAll)]


def test_unlisting_takes_the_power_to_halt(client: Client) -> None:
    user = UserFactory.create(username="staff", password="x", is_staff=True)
    wanted = ("view_symbol", "change_symbol")
    user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    client.force_login(user)
    symbol = SymbolFactory.create(code="BTC-USDT")
    answers = {"unlist_orders": "keep", "unlist_state": "keep", "unlist_note": "quiet"}
    assert "takes the power to halt" in text_of(
        save(client, symbol, without="is_listed", **answers)
    )
    symbol.refresh_from_db()
    assert symbol.is_listed
