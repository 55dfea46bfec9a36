"""Policy of the back office: staff with every permission gain no power anywhere in it.

Every page of every registered admin is asked for with every row that could be somebody's, every
action is sent, and every form is filled with whatever would give somebody power.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from adminpanel.admin.policy import OPEN_FIELDS, OfficeAdmin, closed_fields, is_power
from exchange.models import User
from exchange.selectors import catalogue_forget
from orders.intake.process import intake_stop
from tests.factories.back_office import registered
from tests.factories.models import AssetFactory, BrandFactory, SymbolFactory, TierFactory
from wallets.services import user_create

PASSWORD = "correct-horse-9-battery"
TAKEN = "taken-over-99-times"


@pytest.fixture(autouse=True)
def fresh(settings: Any) -> Iterator[None]:
    settings.PUBLIC_WEIGHT_PER_SECOND = 0  # a walk that is refused for its pace shows nothing
    catalogue_forget()
    yield
    intake_stop()


class People:
    """Staff who may everything but be a superuser, and whom they could do something to."""

    def __init__(self, *, is_superuser: bool = False) -> None:
        self.desk = Group.objects.create(name="desk")
        self.clerk = user_create("clerk", password=PASSWORD, is_superuser=is_superuser)
        self.clerk.is_staff = True
        self.clerk.save()
        self.clerk.groups.add(self.desk)
        self.clerk.user_permissions.set(Permission.objects.all())
        self.chief = user_create("chief", password=PASSWORD, is_superuser=True)
        self.colleague = user_create("colleague", password=PASSWORD, is_staff=True)
        self.customer = user_create("customer", password=PASSWORD, email="ada@example.com")
        self.client = Client(raise_request_exception=True)
        self.sign_in()
        SymbolFactory.create(code="BTC-USDT")
        TierFactory.create(name="usual")
        BrandFactory.create(slug="main", name="Main", is_default=True)
        AssetFactory.create(code="EUR", name="Euro", scale=2)

    def sign_in(self) -> None:
        """Again, where an act of their own has signed them out."""
        if self.client.get("/admin/password_change/").status_code != 200:
            User.objects.filter(pk=self.clerk.pk).update(is_active=True)
            self.clerk.refresh_from_db()
            self.client.force_login(self.clerk)

    def powers(self) -> dict[str, Any]:
        """Whatever makes somebody more than they are, as it stands in the database."""
        known = ["clerk", "chief", "colleague", "customer"]
        statements = {
            "groups": "SELECT id, name FROM auth_group ORDER BY id",
            "group powers": "SELECT group_id, permission_id FROM auth_group_permissions"
            " ORDER BY 1, 2",
            "members": "SELECT user_id, group_id FROM exchange_user_groups ORDER BY 1, 2",
            "own powers": "SELECT user_id, permission_id FROM exchange_user_user_permissions"
            " ORDER BY 1, 2",
            "permissions": "SELECT id, codename, content_type_id FROM auth_permission ORDER BY id",
            "people": "SELECT id, username, email, password, is_staff, is_superuser, last_login,"
            " date_joined FROM exchange_user WHERE username = ANY(%s) ORDER BY id",
            "staff": "SELECT id, is_active, is_suspended, session_epoch, tier_id, first_name"
            " FROM exchange_user WHERE is_staff ORDER BY id",
            "others": "SELECT count(*) FROM exchange_user WHERE (is_staff OR is_superuser)"
            " AND username <> ALL(%s)",
        }
        with connection.cursor() as cursor:
            found = {}
            for name, statement in statements.items():
                cursor.execute(statement, [known] if "%s" in statement else None)
                found[name] = cursor.fetchall()
        return found

    def attack(self) -> dict[str, Any]:
        """A form that wants everything."""
        wanted = Permission.objects.exclude(group=self.desk).values_list("pk", flat=True)[:5]
        everything = [str(one) for one in wanted]
        groups = [str(pk) for pk in Group.objects.values_list("pk", flat=True)]
        return {
            "username": f"renamed{next(NUMBERS)}", "email": "mine@example.com", "password": TAKEN,
            "password1": TAKEN, "password2": TAKEN, "new_password1": TAKEN,
            "new_password2": TAKEN, "old_password": "", "usable_password": "true",
            "is_staff": "on", "is_superuser": "on", "is_active": "on", "is_suspended": "on",
            "groups": groups, "user_permissions": everything,
            "permissions": everything, "name": "mighty", "user_set": [str(self.clerk.pk)],
            "last_login_0": "2026-01-01", "last_login_1": "00:00:00", "session_epoch": "7",
            "date_joined_0": "2020-01-01", "date_joined_1": "00:00:00", "reason": "because",
            "note": "because", "orders": "cancel", "sessions": "on", "post": "yes",
            "codes": "BTC-USDT", "key": f"attack-{next(NUMBERS)}", "first_name": "Mallory",
            "self_trade_prevention": "decrement",
        }  # fmt: skip


NUMBERS = itertools.count()
ROWS: dict[Any, int] = {User: 10, Group: 10}
ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>")


def routes(patterns: Any, before: str = "/admin/") -> Iterator[tuple[str, str]]:
    """Every route of the site with its name."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, before + str(pattern.pattern))
        elif isinstance(pattern, URLPattern):
            yield pattern.name or "", before + str(pattern.pattern)


def addresses() -> list[str]:
    """Every address of the back office; those of a row with rows that could matter."""
    rows = {}
    for model in registered():
        prefix = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        rows[prefix] = list(model._base_manager.values_list("pk", flat=True)[: ROWS.get(model, 1)])
    found = set()
    for name, route in routes(admin.site.get_urls()):
        if name == "logout":
            continue
        if not ARGUMENT.search(route):
            found.add(route)
            continue
        own = [rows[prefix] for prefix in rows if route.startswith(prefix)]
        for pk in own[0] if own else ["1"]:
            found.add(ARGUMENT.sub(str(pk), route))
    return sorted(found)


def forms_of(response: Any) -> dict[str, Any]:
    """What a browser would send back: the form's own values, as they stand."""
    if not response.context or "adminform" not in response.context:
        return {}
    form = response.context["adminform"].form
    return {name: filled(form.initial.get(name)) for name in form.fields}


def filled(value: Any) -> Any:
    if isinstance(value, list):
        return [str(getattr(one, "pk", one)) for one in value]
    return "" if value is None else value


def walk(people: People) -> int:
    """Ask for everything and send everything; return how many answers there were."""
    answers = 0
    for address in addresses():
        people.sign_in()
        attack = people.attack()
        own = forms_of(people.client.get(address))
        for body in ({**own, **attack}, {**attack, "_saveasnew": "1", "_popup": "1"}):
            answer = people.client.post(address, body)
            assert answer.status_code != 429, address
            answers += 1
    return answers


def act(people: People) -> int:
    """Send every action of every list, and one that Django adds by itself."""
    answers = 0
    users = [str(user.pk) for user in User.objects.all()]
    for model, model_admin in registered().items():
        opts = model._meta
        page = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        rows = [str(pk) for pk in model._base_manager.values_list("pk", flat=True)[:20]]
        names = {"delete_selected", *map(str, model_admin.actions or ())}
        for name in names:
            chosen = {"action": name, "_selected_action": rows or users}
            for body in ({**people.attack(), **chosen}, {**chosen, "post": "yes"}):
                people.client.post(page, body)
                answers += 1
    return answers


@pytest.mark.django_db(transaction=True)
def test_no_page_form_or_action_gives_staff_a_power() -> None:
    people = People()
    before = people.powers()
    session = people.client.session.session_key
    assert walk(people) > 200
    assert act(people) > 20
    assert people.powers() == before
    assert people.client.session.session_key == session, "signed in all the time"


@pytest.mark.django_db(transaction=True)
def test_the_same_walk_by_a_superuser_does_give_powers() -> None:
    """The walk is no empty one: what it sends works where it may."""
    people = People(is_superuser=True)
    before = people.powers()
    walk(people)
    after = people.powers()
    assert after["group powers"] != before["group powers"]
    assert after["own powers"] != before["own powers"]
    assert after["people"] != before["people"]


@pytest.mark.django_db
def test_a_user_made_by_staff_has_no_power() -> None:
    people = People()
    page = reverse("admin:exchange_user_add")
    people.client.post(page, {**people.attack(), "username": "newcomer"})
    made = User.objects.get(username="newcomer")
    assert (made.is_staff, made.is_superuser) == (False, False)
    assert not made.user_permissions.exists()
    assert not made.groups.exists()
    assert made.account.pk, "and an account is open"  # type: ignore[attr-defined]


@pytest.mark.django_db
@pytest.mark.parametrize("whom", ["customer", "colleague", "chief", "clerk"])
def test_staff_set_nobodys_password(whom: str) -> None:
    people = People()
    user = getattr(people, whom)
    page = reverse("admin:auth_user_password_change", args=[user.pk])
    assert people.client.get(page).status_code == 403
    assert people.client.post(page, people.attack()).status_code == 403
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


@pytest.mark.django_db
def test_staff_see_no_hash_of_a_password() -> None:
    people = People()
    page = reverse("admin:exchange_user_change", args=[people.customer.pk])
    text = people.client.get(page).content.decode()
    assert "scrypt" not in text
    assert people.customer.password not in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address",
    [
        "/admin/exchange/user/?password__startswith=scrypt",
        "/admin/exchange/apikey/?secret_encrypted__startswith=g",
        "/admin/exchange/apikey/?user__password__startswith=scrypt",
        "/admin/risk/orderlimit/?user__password__startswith=scrypt",
    ],
)
def test_lists_are_not_filtered_by_secrets(address: str) -> None:
    people = People()
    assert people.client.get(address).status_code in (302, 400)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["suspend", "deactivate", "access", "funds"])
def test_staff_do_nothing_to_staff(name: str) -> None:
    people = People()
    for user in (people.chief, people.colleague, people.clerk):
        page = reverse(f"admin:user_{name}", args=[user.pk])
        assert people.client.post(page, people.attack()).status_code == 403


def test_every_admin_stands_on_the_policy() -> None:
    for model, model_admin in registered().items():
        assert isinstance(model_admin, OfficeAdmin), model


def test_a_new_column_of_a_user_begins_closed() -> None:
    fields = {field.name for field in (*User._meta.fields, *User._meta.many_to_many)}
    assert closed_fields(User) == fields - OPEN_FIELDS[User]
    assert {"password", "is_staff", "is_superuser", "groups", "email"} <= closed_fields(User)
    assert is_power(Group)
    assert is_power(Permission)
