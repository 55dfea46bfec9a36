"""Schedules in the back office: refused in words, shown before they take effect."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags

from exchange.models import Symbol
from orders.models import ScheduledState
from tests.factories.models import SymbolFactory, UserFactory

pytestmark = pytest.mark.django_db

ADD = "admin:orders_scheduledstate_add"
FUTURE = date(2100, 1, 4)  # a Monday


@pytest.fixture
def symbol() -> Symbol:
    return SymbolFactory.create(code="BTC-USDT")


def values_of(symbol: Symbol, **changes: object) -> dict[str, object]:
    values = {
        "symbol": symbol.pk, "state": "open", "at": "09:00", "weekdays": ["1", "5"],
        "on_date": "", "is_active": "on",
    }  # fmt: skip
    return {**values, **changes}


def errors_of(client: Client, values: dict[str, object]) -> str:
    """What the form says against these values, which it has to."""
    response = client.post(reverse(ADD), values)
    assert response.status_code == 200
    errors: dict[str, list[str]] = response.context["adminform"].form.errors
    return "; ".join(f"{name}: {text}" for name, texts in errors.items() for text in texts)


def test_a_schedule_begins_when_it_is_saved(root: Client, symbol: Symbol) -> None:
    """Otherwise one that is saved at five past nine would send what was due at nine."""
    before = datetime.now(UTC)
    assert root.post(reverse(ADD), values_of(symbol)).status_code == 302
    row = ScheduledState.objects.get()
    assert (row.state, row.at, row.weekdays, row.on_date) == ("open", time(9), "15", None)
    assert row.last_due_at is not None
    assert before <= row.last_due_at <= datetime.now(UTC)


def test_a_change_keeps_what_the_clock_marked_meanwhile(root: Client, symbol: Symbol) -> None:
    root.post(reverse(ADD), values_of(symbol))
    row = ScheduledState.objects.get()
    ScheduledState.objects.update(last_due_at=datetime.now(UTC) - timedelta(days=9))
    page = reverse("admin:orders_scheduledstate_change", args=[row.pk])
    before = datetime.now(UTC)
    assert root.post(page, values_of(symbol, at="10:00")).status_code == 302
    row.refresh_from_db()
    assert row.at == time(10)
    assert row.last_due_at is not None
    assert before <= row.last_due_at


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"weekdays": []}, "weekdays: Choose weekdays, or a date"),
        ({"on_date": str(FUTURE)}, "weekdays: Choose weekdays, or a date"),
        ({"weekdays": ["8"]}, "weekdays: Select a valid choice"),
        ({"weekdays": [], "on_date": "2020-01-01"}, "on_date: Wed 01 Jan 2020, 09:00:00 UTC is"),
        ({"state": "closed"}, "state: Select a valid choice"),
        ({"at": "25:00"}, "at: Enter a valid time"),
    ],
)
def test_what_no_schedule_may_be_is_refused_in_words(
    root: Client, symbol: Symbol, changes: dict[str, object], error: str
) -> None:
    assert error in errors_of(root, values_of(symbol, **changes))
    assert not ScheduledState.objects.exists()


@pytest.mark.parametrize(
    ("changes", "clashes"),
    [
        ({"weekdays": ["1"]}, True),
        ({"weekdays": ["2", "3"]}, False),
        ({"weekdays": [], "on_date": str(FUTURE)}, True),
        ({"weekdays": [], "on_date": str(FUTURE + timedelta(days=1))}, False),
        ({"weekdays": ["1"], "at": "09:01"}, False),
        ({"weekdays": ["1"], "is_active": ""}, False),
    ],
)
def test_two_states_at_one_moment_are_refused(
    root: Client, symbol: Symbol, changes: dict[str, object], clashes: bool
) -> None:
    root.post(reverse(ADD), values_of(symbol))
    values = values_of(symbol, state="auction", **changes)
    if clashes:
        assert "At that moment there is another one" in errors_of(root, values)
    else:
        assert root.post(reverse(ADD), values).status_code == 302
    assert ScheduledState.objects.count() == (1 if clashes else 2)


def test_another_symbol_may_change_at_the_same_moment(root: Client, symbol: Symbol) -> None:
    root.post(reverse(ADD), values_of(symbol))
    root.post(reverse(ADD), values_of(SymbolFactory.create(code="ETH-USDT")))
    assert ScheduledState.objects.count() == 2


def test_the_next_three_occurrences_are_shown(root: Client, symbol: Symbol) -> None:
    row = ScheduledState.objects.create(symbol=symbol, state="open", at=time(9), weekdays="1234567")
    once = ScheduledState.objects.create(
        symbol=symbol, state="halt", at=time(9, 30), on_date=FUTURE, is_active=True
    )
    ScheduledState.objects.create(
        symbol=symbol, state="auction", at=time(8), weekdays="1", is_active=False
    )
    page = strip_tags(
        root.get(reverse("admin:orders_scheduledstate_change", args=[row.pk])).content.decode()
    )
    assert page.count(", 09:00:00 UTC") == 3
    texts = strip_tags(root.get(reverse("admin:orders_scheduledstate_changelist")).content.decode())
    assert "Mon 04 Jan 2100, 09:30:00 UTC" in texts
    assert "none: it is not active" in texts
    once.on_date = date(2020, 1, 1)
    once.save()
    texts = strip_tags(root.get(reverse("admin:orders_scheduledstate_changelist")).content.decode())
    assert "none: it is over" in texts


@pytest.mark.parametrize("may_halt", [True, False])
def test_who_plans_states_must_be_one_who_may_halt(
    client: Client, symbol: Symbol, may_halt: bool
) -> None:
    names = ["add_scheduledstate", "change_scheduledstate", "delete_scheduledstate"]
    user = UserFactory.create(username="staff", password="x", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=[*names, *(["halt_symbol"] if may_halt else [])])
    )
    client.force_login(user)
    client.post(reverse(ADD), values_of(symbol))
    assert ScheduledState.objects.count() == may_halt
    row = ScheduledState.objects.create(symbol=symbol, state="halt", at=time(12), weekdays="1")
    client.post(reverse("admin:orders_scheduledstate_delete", args=[row.pk]), {"post": "yes"})
    assert ScheduledState.objects.filter(pk=row.pk).exists() != may_halt
