"""The record of security events: who did what to whom, once, for good, without secrets."""

import json
import secrets
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from exchange.access import security_events
from exchange.access.ends import key_revoke, sessions_end
from exchange.access.security_events import (
    DETAIL_BYTES_MAX,
    FailureBudget,
    detail_bounded,
    event_record,
)
from exchange.api.keys import api_key_create
from exchange.domain.enums import SecurityKind
from exchange.models import SecurityEvent, User
from exchange.signin.throttle import LocalCounters, throttle
from tests.factories.models import SymbolFactory
from wallets.services import user_create

pytestmark = pytest.mark.django_db

PASSWORD = "correct-horse-9-battery"
FOUND = {"x-request-id": "trace-12345678"}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute with all its room, and no waits from earlier tests."""
    monkeypatch.setattr(security_events, "failure_budget", FailureBudget())
    local = LocalCounters()
    monkeypatch.setattr(throttle, "shared", local)
    monkeypatch.setattr(throttle, "local", local)
    SymbolFactory.create(code="BTC-USDT")


def told(kind: SecurityKind) -> list[SecurityEvent]:
    return list(SecurityEvent.objects.filter(kind=kind).order_by("pk"))


def sign_in(client: Client, name: str, password: str, page: str = "/login") -> HttpResponse:
    body = {"username": name, "password": password}
    return client.post(page, body, headers=FOUND, REMOTE_ADDR="203.0.113.9")


def staff(*codenames: str, **fields: Any) -> tuple[Client, User]:
    user = user_create("clerk", password=PASSWORD, is_staff=True, **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    assert user.user_permissions.count() == len(codenames)
    client = Client()
    client.force_login(user)
    return client, user


# --- what is recorded


@pytest.mark.parametrize(("page", "door"), [("/login", "page"), ("/admin/login/", "office")])
def test_a_sign_in_and_its_failures_are_on_record(client: Client, page: str, door: str) -> None:
    user = user_create("ada", password=PASSWORD, is_staff=True)
    sign_in(client, "ada", "wrong", page)
    sign_in(client, "ada", PASSWORD, page)
    [failed], [made] = told(SecurityKind.SIGN_IN_FAILED), told(SecurityKind.SIGN_IN)
    for event in (failed, made):
        assert (event.subject, event.name) == (user, "ada")
        assert (event.address, event.request_id) == ("203.0.113.9", "trace-12345678")
        assert event.detail["door"] == door
    assert failed.actor is None
    assert made.actor == user


def test_a_name_that_nobody_has_may_be_a_password_and_is_not_shown(client: Client) -> None:
    sign_in(client, "hunter2-is-my-password", "x")
    [event] = told(SecurityKind.SIGN_IN_FAILED)
    assert event.name == "hu... (22 characters)"
    assert event.subject is None


@pytest.mark.parametrize("name", ["a\x00b", "x" * 100_000, "\u202e\n{}", "\ud800", ""])
def test_a_name_cannot_break_the_record(client: Client, name: str) -> None:
    security_events.sign_in_failed(name=name, door="page", reason="wrong")
    [event] = told(SecurityKind.SIGN_IN_FAILED)
    assert len(event.name) <= security_events.NAME_MAX
    assert event.name.isprintable()


def test_a_refused_attempt_is_on_record(client: Client) -> None:
    user_create("ada", password=PASSWORD)
    for _ in range(6):
        sign_in(client, "ada", "wrong")
    reasons = [event.detail["reason"] for event in told(SecurityKind.SIGN_IN_FAILED)]
    assert reasons == ["wrong name or password"] * 5 + ["too many attempts"]


def test_sign_out_and_keys_are_on_record() -> None:
    user = user_create("ada", password=PASSWORD)
    client = Client()
    client.force_login(user)
    body = json.dumps({"label": "bot", "scopes": ["read", "trade"]})
    made = client.post("/api/v1/keys", body, "application/json").json()
    client.delete(f"/api/v1/keys/{made['key']}")
    client.post("/logout")
    for kind in (SecurityKind.KEY_MADE, SecurityKind.KEY_REVOKED):
        [event] = told(kind)
        assert (event.actor, event.subject, event.target) == (user, user, made["key"])
    [left] = told(SecurityKind.SIGN_OUT)
    assert (left.actor, left.subject) == (user, user)


def test_what_staff_change_is_on_record_with_its_old_and_new_values() -> None:
    client, clerk = staff("view_user", "change_user")
    ada = user_create("ada", first_name="Ada")
    page = reverse("admin:exchange_user_change", args=[ada.pk])
    form = client.get(page).context["adminform"].form
    values = {name: form.initial.get(name) or "" for name in form.fields}
    assert client.post(page, {**values, "first_name": "Adelaide"}).status_code == 302
    [event] = told(SecurityKind.STAFF_CHANGED)
    assert (event.actor, event.subject) == (clerk, ada)
    assert event.detail == {"first_name": ["Ada", "Adelaide"]}
    assert event.target == f"exchange.user {ada.pk} ada"


def test_a_superusers_gift_of_powers_is_on_record() -> None:
    client = Client()
    client.force_login(user_create("root", is_superuser=True))
    ada = user_create("ada")
    halt = Permission.objects.get(codename="halt_symbol")
    page = reverse("admin:exchange_user_change", args=[ada.pk])
    form = client.get(page).context["adminform"].form
    values = {name: form.initial.get(name) or "" for name in form.fields if name != "groups"}
    client.post(page, {**values, "is_staff": "on", "user_permissions": [str(halt.pk)]})
    [event] = told(SecurityKind.STAFF_CHANGED)
    assert event.detail["is_staff"] == [False, True]
    assert event.detail["user_permissions"] == [[], [str(halt.pk)]]


def test_staff_revoke_keys_and_end_sessions_of_a_customer() -> None:
    client, clerk = staff("view_user", "change_user", "end_access")
    ada = user_create("ada", password=PASSWORD)
    key, _ = api_key_create(user_id=ada.pk, label="leaked", can_trade=True)
    browser = Client()
    browser.force_login(ada)
    page = reverse("admin:user_access", args=[ada.pk])
    assert key.key_id in client.get(page).content.decode()
    client.post(page, {"reason": "stolen laptop", "sessions": "on", "keys": [key.key_id]})
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert browser.get("/keys").status_code == 302, "signed out"
    for kind in (SecurityKind.KEY_REVOKED, SecurityKind.SESSIONS_ENDED):
        [event] = told(kind)
        assert (event.actor, event.subject) == (clerk, ada)
        assert event.detail["reason"] == "stolen laptop"


def test_staff_revoke_keys_from_the_list_but_not_those_of_staff() -> None:
    client, clerk = staff("view_apikey", "end_access")
    ada, chief = user_create("ada"), user_create("chief", is_superuser=True)
    keys = [api_key_create(user_id=one.pk, label="", can_trade=True)[0] for one in (ada, chief)]
    body = {"action": "revoke", "_selected_action": [str(key.pk) for key in keys]}
    page = reverse("admin:exchange_apikey_changelist")
    client.post(page, {**body, "note": ""})
    assert told(SecurityKind.KEY_REVOKED) == [], "not without a reason"
    client.post(page, {**body, "note": "leaked"})
    [event] = told(SecurityKind.KEY_REVOKED)
    assert (event.actor, event.subject, event.target) == (clerk, ada, keys[0].key_id)


def test_a_customers_right_password_at_the_office_is_no_sign_in(client: Client) -> None:
    user_create("ada", password=PASSWORD)
    sign_in(client, "ada", PASSWORD, "/admin/login/")
    assert told(SecurityKind.SIGN_IN) == []
    [event] = told(SecurityKind.SIGN_IN_FAILED)
    assert event.detail["reason"] == "no staff"


def test_a_password_asked_for_again_is_no_sign_in() -> None:
    client, _ = staff("view_user")
    body = {
        "old_password": PASSWORD,
        "new_password1": "my-own-7788",
        "new_password2": "my-own-7788",
    }
    assert client.post("/admin/password_change/", body).status_code == 302
    assert told(SecurityKind.SIGN_IN) == []
    assert len(told(SecurityKind.PASSWORD_CHANGED)) == 1


def test_a_password_changed_by_command_is_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    ada = user_create("ada", password=PASSWORD)
    monkeypatch.setattr("getpass.getpass", lambda prompt="": "another-one-77")
    call_command("changepassword", "ada", stdout=StringIO())
    ada.refresh_from_db()
    assert ada.check_password("another-one-77")
    [event] = told(SecurityKind.PASSWORD_CHANGED)
    assert (event.actor, event.subject) == (None, ada)


# --- what holds of the table


def test_kinds_are_a_closed_set() -> None:
    with pytest.raises(IntegrityError, match="securityevent_kind_known"), transaction.atomic():
        SecurityEvent.objects.create(id=event_id(), kind="anything")


def event_id() -> int:
    event_record(SecurityKind.SIGN_OUT)
    return int(SecurityEvent.objects.latest("pk").pk) + 1


def test_detail_is_bounded_by_the_database_too() -> None:
    with pytest.raises(IntegrityError, match="securityevent_detail_bounded"), transaction.atomic():
        SecurityEvent.objects.create(
            id=event_id(), kind=SecurityKind.SIGN_OUT, detail={"x": "y" * 9_000}
        )


TABLES = ("exchange_securityevent", "django_admin_log")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}"])
def test_what_was_recorded_stays(table: str, statement: str) -> None:
    user = user_create("ada")
    LogEntry.objects.log_actions(user.pk, [user], 2, "said")
    with pytest.raises(IntegrityError, match="never changed or deleted"), transaction.atomic():
        connection.cursor().execute(statement.format(table))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"]
)
def test_the_application_may_only_add_and_read(table: str, statement: str) -> None:
    with transaction.atomic():
        cursor = connection.cursor()
        cursor.execute("SET LOCAL ROLE takas_app")
        cursor.execute(f"SELECT count(*) FROM {table}")
        event_record(SecurityKind.SIGN_OUT)
        with pytest.raises(DatabaseError) as refused, transaction.atomic():
            cursor.execute(statement.format(table))
        cursor.execute("RESET ROLE")
    assert isinstance(refused.value.__cause__, psycopg.errors.InsufficientPrivilege)


def test_partitions_are_closed_to_the_application_as_well() -> None:
    cursor = connection.cursor()
    cursor.execute(
        "SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = oid"
        " WHERE inhparent = 'exchange_securityevent'::regclass"
    )
    names = [row[0] for row in cursor.fetchall()]
    assert names
    for name in names:
        for privilege in ("UPDATE", "DELETE", "TRUNCATE"):
            cursor.execute("SELECT has_table_privilege('takas_app', %s, %s)", [name, privilege])
            assert cursor.fetchone() == (False,)


# --- bounds


def test_strangers_fill_a_minute_and_no_more() -> None:
    budget = FailureBudget()
    many = [budget.take(f"198.51.100.{number}", 100.0) for number in range(200)]
    assert many == [0] * budget.RECORDED_MAX + [None] * (200 - budget.RECORDED_MAX)
    assert len(budget.by_network) == budget.RECORDED_MAX
    assert budget.take("203.0.113.1", 100.0 + budget.MINUTE_S) == 200 - budget.RECORDED_MAX


def test_one_network_leaves_room_for_others() -> None:
    budget = FailureBudget()
    mine = [budget.take("198.51.100.1", 100.0) for _ in range(50)]
    assert mine == [0] * budget.NETWORK_MAX + [None] * (50 - budget.NETWORK_MAX)
    assert budget.take("203.0.113.1", 100.0) == 50 - budget.NETWORK_MAX, "told with the next one"


def test_failures_beyond_the_budget_are_counted_and_not_recorded() -> None:
    for number in range(40):
        security_events.sign_in_failed(name=f"nobody{number}", door="page", reason="wrong")
    assert len(told(SecurityKind.SIGN_IN_FAILED)) == FailureBudget.NETWORK_MAX


def test_detail_is_cut_to_its_bounds() -> None:
    for detail in (
        {"a": "x" * 100_000},
        {str(number): "ü" * 300 for number in range(1_000)},
        {"nested": {"deep": ["y" * 5_000] * 500}},
        {"n" * 5_000: 1},
    ):
        kept = detail_bounded(detail)
        assert len(json.dumps(kept, ensure_ascii=False).encode()) <= 2 * DETAIL_BYTES_MAX
        event_record(SecurityKind.STAFF_CHANGED, detail=detail)


# --- secrets


def test_a_life_leaves_no_secret_on_record(client: Client) -> None:
    """Passwords, an API secret, session keys and tokens of everything that is done here."""
    known = [f"secret-{secrets.token_hex(8)}" for _ in range(4)]
    first, second, wrong, third = known
    root = Client()
    root.force_login(user_create("root", password=first, is_superuser=True))
    body = {"username": "ada", "password1": first, "password2": first, "usable_password": "true"}
    assert root.post(reverse("admin:exchange_user_add"), body).status_code == 302
    ada = User.objects.get(username="ada")
    for name in ("ada", wrong, first):
        sign_in(client, name, wrong)
    assert sign_in(client, "ada", first).status_code == 302
    made = client.post("/api/v1/keys", b'{"label":"bot"}', "application/json").json()
    passwords = {"password1": second, "password2": second, "usable_password": "true"}
    page = reverse("admin:auth_user_password_change", args=[ada.pk])
    assert root.post(page, passwords).status_code == 302
    body = {"old_password": first, "new_password1": third, "new_password2": third}
    assert root.post("/admin/password_change/", body).status_code == 302
    client.post("/logout")
    key_revoke(user_id=ada.pk, key_id=made["key"], reason="over")
    sessions_end(ada.pk, reason="over")
    ada.refresh_from_db()
    session_keys = [one.cookies["sessionid"].value for one in (root,) if "sessionid" in one.cookies]
    known += [made["secret"], ada.password, *session_keys]
    told_kinds = {event.kind for event in SecurityEvent.objects.all()}
    assert {
        "sign_in",
        "sign_in_failed",
        "key_made",
        "password_changed",
        "staff_added",
    } <= told_kinds
    written = "\n".join(
        str(list(table.objects.values_list())) for table in (SecurityEvent, LogEntry)
    )
    for secret in known:
        assert secret not in written


@pytest.mark.parametrize("name", ["password", "new_password1", "api_secret", "X-Takas-Signature"])
def test_values_of_secret_names_are_not_kept(name: str) -> None:
    assert detail_bounded({name: "s3cret"}) == {name: security_events.REDACTED}


# --- in the back office

PAGE = "admin:exchange_securityevent_changelist"


def found(client: Client, **query: str) -> list[int]:
    response = client.get(reverse(PAGE), query)
    assert response.status_code == 200
    return [event.pk for event in response.context["cl"].result_list]


def test_events_are_read_filtered_and_searched(client: Client) -> None:
    ada = user_create("ada", password=PASSWORD)
    sign_in(client, "ada", "wrong")
    [failed] = told(SecurityKind.SIGN_IN_FAILED)
    reader, _ = staff("view_securityevent")
    assert failed.pk in found(reader)
    assert found(reader, kind__exact="sign_in_failed") == [failed.pk]
    for term in ("203.0.113.9", "trace-12345678", str(failed.pk)):
        assert found(reader, q=term) == [failed.pk]
    assert {failed.pk} < set(found(reader, q="ada")), "and her making"
    assert found(reader, q="'; DROP TABLE") == []
    page = reverse("admin:exchange_securityevent_change", args=[failed.pk])
    assert "203.0.113.9" in reader.get(page).content.decode()
    assert ada.pk == failed.subject_id


def test_nobody_changes_events_in_the_back_office() -> None:
    root = Client()
    root.force_login(user_create("root", is_superuser=True))
    [event] = told(SecurityKind.USER_MADE)
    for name, args in (("add", []), ("change", [event.pk]), ("delete", [event.pk])):
        page = reverse(f"admin:exchange_securityevent_{name}", args=args)
        assert root.post(page, {"kind": "sign_in", "post": "yes"}).status_code == 403


def test_events_are_for_those_who_may_see_them() -> None:
    client, _ = staff("view_user")
    assert client.get(reverse(PAGE)).status_code == 403
