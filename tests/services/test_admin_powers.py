"""Powers in the back office: who may edit customers cannot edit staff or grant permissions."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from exchange.models import User
from tests.factories.models import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def clerk(client: Client) -> User:
    """Staff that may edit users, and is signed in."""
    user = UserFactory.create(username="clerk", password="x", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=("view_user", "change_user", "add_user"))
    )
    client.force_login(user)
    return user


def form_of(client: Client, user: User, **changes: object) -> dict[str, object]:
    """What the browser would send for a user's page, with these fields changed."""
    page = client.get(reverse("admin:exchange_user_change", args=[user.pk]))
    initial = page.context["adminform"].form.initial
    plain = {"username": user.username, "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    kept = {"self_trade_prevention": initial["self_trade_prevention"], "is_active": "on"}
    return {**plain, **kept, **changes}


def test_powers_are_not_given_by_who_may_edit_users(client: Client, clerk: User) -> None:
    customer = UserFactory.create(username="customer")
    halt = Permission.objects.get(codename="halt_symbol")
    powers = {"is_staff": "on", "is_superuser": "on", "user_permissions": [halt.pk]}
    closed = {"username": "taken", "email": "mine@example.com", "is_suspended": "on"}
    body = form_of(client, customer, first_name="Ada", **closed, **powers)
    client.post(reverse("admin:exchange_user_change", args=[customer.pk]), body)
    customer.refresh_from_db()
    assert customer.first_name == "Ada", "what may be edited still is"
    assert (customer.username, customer.email) == ("customer", "")
    assert (customer.is_staff, customer.is_superuser) == (False, False)
    assert not customer.user_permissions.exists()


@pytest.mark.parametrize("page", ["admin:exchange_user_change", "admin:auth_user_password_change"])
def test_nothing_of_staff_is_changed_by_who_may_edit_users(
    client: Client, clerk: User, page: str
) -> None:
    chief = UserFactory.create(superuser=True, username="chief", password="secret")
    passwords = {"password1": "taken-over-9", "password2": "taken-over-9"}
    for user in (chief, clerk):
        body = {"username": "mine", "is_superuser": "on", "usable_password": "true", **passwords}
        assert client.post(reverse(page, args=[user.pk]), body).status_code == 403
        before = (user.username, user.password, user.is_superuser)
        user.refresh_from_db()
        assert (user.username, user.password, user.is_superuser) == before


def test_a_superuser_gives_powers(client: Client) -> None:
    client.force_login(UserFactory.create(superuser=True, username="root"))
    user = UserFactory.create(username="colleague")
    body = form_of(client, user, is_staff="on")
    client.post(reverse("admin:exchange_user_change", args=[user.pk]), body)
    user.refresh_from_db()
    assert user.is_staff
