"""Trading accounts: one is opened with every user, whoever makes the user and where."""

from importlib import import_module
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from exchange.models import User
from wallets.models import Account
from wallets.selectors import account_id_of
from wallets.services import accounts_open_missing, user_create

pytestmark = pytest.mark.django_db


def made_by_service(name: str) -> None:
    user_create(name)


def made_by_command(name: str) -> None:
    call_command("createsuperuser", "--noinput", username=name, email="", verbosity=0)


def made_by_staff(name: str) -> None:
    client = Client()
    client.force_login(user_create("root", is_superuser=True))
    body = {"username": name, "password1": "quite-long-77", "password2": "quite-long-77"}
    page = reverse("admin:exchange_user_add")
    assert client.post(page, {**body, "usable_password": "true"}).status_code == 302


@pytest.mark.parametrize("make", [made_by_service, made_by_command, made_by_staff])
def test_an_account_is_opened_with_a_user(make: Any) -> None:
    make("ada")
    user = User.objects.get(username="ada")
    assert account_id_of(user.pk) is not None


def shell_user() -> User:
    """Made past every service: by hand, in a shell."""
    user = User.objects.create_user("by-hand")
    assert account_id_of(user.pk) is None
    return user


def test_saving_a_user_in_the_back_office_opens_what_is_missing() -> None:
    user = shell_user()
    client = Client()
    client.force_login(user_create("root", is_superuser=True))
    page = reverse("admin:exchange_user_change", args=[user.pk])
    form = client.get(page).context["adminform"].form
    many = ("groups", "user_permissions")
    values = {name: form.initial.get(name) or "" for name in form.fields if name not in many}
    assert client.post(page, values).status_code == 302
    assert account_id_of(user.pk) is not None


def test_the_migration_opens_the_accounts_that_are_missing() -> None:
    user, other = shell_user(), user_create("ada")
    before = account_id_of(other.pk)
    migration = import_module("wallets.migrations.0008_funding_and_accounts")
    with connection.cursor() as cursor:
        cursor.execute(migration.ACCOUNTS)
    assert account_id_of(user.pk) is not None
    assert account_id_of(other.pk) == before


def test_missing_accounts_are_opened_once() -> None:
    shell_user()
    assert accounts_open_missing() == 1
    assert accounts_open_missing() == 0
    assert Account.objects.filter(kind="user").count() == User.objects.count()
