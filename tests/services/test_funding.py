"""Credits and debits by staff: double entry, once per key, never below zero, on record."""

import threading
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from typing import Any

import msgspec
import psycopg
import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.urls import reverse

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.database import connect
from exchange.infra.redis import FEED_CHANNEL, redis_client
from exchange.models import Asset, SecurityEvent, User
from exchange.realtime.frames import decode_frames
from risk.audit.run import audit_run
from tests.factories.models import AssetFactory
from wallets.funding import AMOUNT_MAX, REASON_MAX, funds_move
from wallets.models import Account, Balance, Entry, Journal
from wallets.services import user_create

pytestmark = pytest.mark.django_db(transaction=True)

D = Decimal
GUARD_S = 60.0  # only against hanging


@pytest.fixture
def ada() -> User:
    return user_create("ada")


@pytest.fixture
def usdt() -> Asset:
    return AssetFactory.create(code="USDT")


@pytest.fixture
def db() -> Iterator[psycopg.Connection]:
    with connect("test") as connection:
        yield connection


def move(user: User, amount: str, *, key: str = "case-0001", **changes: Any) -> bool:
    values = {"asset": "USDT", "reason": "asked for", "actor_id": None, **changes}
    return funds_move(user_id=user.pk, amount=D(amount), key=key, **values).is_new


def available(user: User) -> Decimal:
    found = Balance.objects.filter(account__user=user, asset__code="USDT")
    return found.values_list("available", flat=True).first() or D(0)


def refusal(user: User, amount: str, **changes: Any) -> str:
    before = (available(user), Journal.objects.count(), Entry.objects.count())
    with pytest.raises(DomainError) as refused:
        move(user, amount, **changes)
    assert (available(user), Journal.objects.count(), Entry.objects.count()) == before
    return refused.value.code.value


def test_a_credit_is_double_entry_against_the_funding_account(
    ada: User, usdt: Asset, db: psycopg.Connection
) -> None:
    assert move(ada, "12.5")
    assert available(ada) == D("12.5")
    funding = Account.objects.get(kind="funding")
    journal = Journal.objects.get()
    assert (journal.kind, journal.key) == ("funding", "funding:case-0001")
    lines = Entry.objects.order_by("amount").values_list(
        "journal_id", "account_id", "amount", "kind"
    )
    assert list(lines) == [
        (journal.pk, funding.pk, D("-12.5"), "funding"),
        (journal.pk, ada.account.pk, D("12.5"), "funding"),  # type: ignore[attr-defined]
    ]
    assert audit_run(db, full=True).breaches == []


def test_a_debit_takes_back_and_all_is_zero_again(
    ada: User, usdt: Asset, db: psycopg.Connection
) -> None:
    move(ada, "12.5", key="case-0001")
    move(ada, "-12.5", key="case-0002")
    assert available(ada) == 0
    assert sum(Balance.objects.values_list("available", flat=True)) == 0
    assert audit_run(db, full=True).breaches == []


def test_it_happens_once_per_key(ada: User, usdt: Asset) -> None:
    assert [move(ada, "5"), move(ada, "5")] == [True, False]
    assert available(ada) == 5
    assert refusal(ada, "6") == Code.FUNDS_KEY_CONFLICT
    assert refusal(ada, "-5") == Code.FUNDS_KEY_CONFLICT
    assert SecurityEvent.objects.filter(kind="funds_moved").count() == 1


def test_many_at_once_with_one_key_happen_once(ada: User, usdt: Asset) -> None:
    outcomes: list[bool] = []

    def ask() -> None:
        try:
            outcomes.append(move(ada, "5"))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD_S)
    assert sorted(outcomes) == [False] * 5 + [True]
    assert available(ada) == 5


def test_a_debit_never_goes_below_what_is_available(ada: User, usdt: Asset) -> None:
    move(ada, "5", key="case-0001")
    with pytest.raises(DomainError) as refused:
        move(ada, "-5.000001", key="case-0002")
    assert refused.value.code == Code.FUNDS_INSUFFICIENT
    assert refused.value.params == {"needed": "5.000001", "asset": "USDT", "available": "5"}
    assert available(ada) == 5


def test_reserved_funds_are_not_debited(ada: User, usdt: Asset) -> None:
    move(ada, "5", key="case-0001")
    Balance.objects.filter(account__user=ada).update(available=1, reserved=4)
    assert refusal(ada, "-2", key="case-0002") == Code.FUNDS_INSUFFICIENT


@pytest.mark.parametrize(
    "amount", ["0", "0.0000001", "NaN", "Infinity", "-Infinity", str(AMOUNT_MAX + 1), "1E+30"]
)
def test_amounts_that_cannot_be_are_refused(ada: User, usdt: Asset, amount: str) -> None:
    assert refusal(ada, amount) == Code.FUNDS_AMOUNT_INVALID


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"asset": "DOGE"}, Code.FUNDS_ASSET_UNKNOWN),
        ({"reason": "  "}, Code.FUNDS_REASON_REQUIRED),
        ({"reason": "x" * (REASON_MAX + 1)}, Code.FUNDS_REASON_REQUIRED),
        ({"key": "short"}, Code.REQUEST_FIELD_INVALID),
        ({"key": "with space inside"}, Code.REQUEST_FIELD_INVALID),
    ],
)
def test_what_is_missing_is_named(
    ada: User, usdt: Asset, changes: dict[str, str], code: Code
) -> None:
    assert refusal(ada, "1", **changes) == code


def test_it_is_on_record_with_who_and_why(ada: User, usdt: Asset) -> None:
    root = user_create("root", is_superuser=True)
    move(ada, "7", actor_id=root.pk)
    event = SecurityEvent.objects.get(kind="funds_moved")
    assert (event.actor, event.subject) == (root, ada)
    assert event.target == "journal funding:case-0001"
    assert event.detail == {"asset": "USDT", "amount": "7", "reason": "asked for"}


def test_the_user_is_told_after_the_commit(ada: User, usdt: Asset) -> None:
    with redis_client() as redis, redis.pubsub() as feed:
        feed.subscribe(FEED_CHANNEL)
        assert feed.get_message(timeout=GUARD_S)
        move(ada, "7")
        message = feed.get_message(timeout=GUARD_S)
    assert message is not None
    [(topic, frame)] = decode_frames(message["data"])
    body = msgspec.json.decode(frame)
    assert topic == f"account:{ada.account.pk}"  # type: ignore[attr-defined]
    assert (body["channel"], body["asset"], body["available"]) == ("balances", "USDT", "7")


# --- from the command line


def command(*words: str) -> str:
    out = StringIO()
    call_command("funds", *words, stdout=out)
    return out.getvalue()


def test_the_command_credits_and_debits(ada: User, usdt: Asset) -> None:
    told = command("credit", "ada", "USDT", "100.25", "--reason", "welcome")
    assert "100.25 USDT available" in told
    assert "key command-" in told
    assert "90.25" in command("debit", "ada", "USDT", "10", "--reason", "a fee")
    reasons = [event.detail["reason"] for event in SecurityEvent.objects.filter(kind="funds_moved")]
    assert len(reasons) == 2
    assert all("(by " in reason for reason in reasons)


def test_the_command_is_repeated_safely(ada: User, usdt: Asset) -> None:
    words = ("credit", "ada", "USDT", "1", "--reason", "welcome", "--key", "case-0007")
    assert command(*words).startswith("done: 1 ")
    assert command(*words).startswith("was done before: 1 ")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("credit", "nobody", "USDT", "1"), "no user 'nobody'"),
        (("credit", "ada", "USDT", "1,000"), "no decimal number"),
        (("credit", "ada", "USDT", "-1"), "no decimal number"),
        (("credit", "ada", "USDT", "1e3"), "no decimal number"),
        (("credit", "ada", "USDT", "1_000"), "no decimal number"),
        (("credit", "ada", "DOGE", "1"), "funds.asset_unknown"),
        (("credit", "ada", "USDT", "0"), "funds.amount_invalid"),
        (("credit", "ada", "USDT", "0.0000001"), "funds.amount_invalid"),
        (("debit", "ada", "USDT", "1"), "funds.insufficient"),
    ],
)
def test_the_command_refuses_in_words(
    ada: User, usdt: Asset, words: tuple[str, ...], why: str
) -> None:
    with pytest.raises(CommandError, match=why):
        command(*words, "--reason", "because")
    assert available(ada) == 0


def test_the_command_wants_a_reason(ada: User, usdt: Asset) -> None:
    with pytest.raises(CommandError, match="--reason"):
        command("credit", "ada", "USDT", "1")


# --- in the back office


def office(*codenames: str) -> Client:
    clerk = user_create("clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    assert clerk.user_permissions.count() == len(codenames)
    client = Client()
    client.force_login(clerk)
    return client


def test_staff_with_the_power_credit_from_the_users_page(ada: User, usdt: Asset) -> None:
    client = office("view_user", "change_user", "fund_account")
    assert (
        "Credit or debit"
        in client.get(reverse("admin:exchange_user_change", args=[ada.pk])).content.decode()
    )
    page = reverse("admin:user_funds", args=[ada.pk])
    key = client.get(page).context["form"]["key"].value()
    body = {"direction": "credit", "asset": "USDT", "amount": "25", "reason": "case 4", "key": key}
    assert client.post(page, body).status_code == 302
    assert client.post(page, body).status_code == 302, "sent twice"
    assert available(ada) == 25
    answer = client.post(page, {**body, "direction": "debit", "amount": "26", "key": f"{key}-2"})
    assert "25 is available" in answer.content.decode()
    assert available(ada) == 25
    event = SecurityEvent.objects.get(kind="funds_moved")
    assert event.actor is not None
    assert event.actor.username == "clerk"


@pytest.mark.parametrize("amount", ["-5", "0", "1,000", "1e3", "NaN", "٣"])
def test_the_page_takes_plain_amounts_above_zero(ada: User, usdt: Asset, amount: str) -> None:
    client = office("view_user", "fund_account")
    page = reverse("admin:user_funds", args=[ada.pk])
    body = {"direction": "credit", "asset": "USDT", "amount": amount, "reason": "x", "key": "k" * 9}
    assert client.post(page, body).status_code == 200
    assert available(ada) == 0


def test_funds_need_their_own_power(ada: User, usdt: Asset) -> None:
    client = office("view_user", "change_user", "suspend_user", "end_access", "halt_symbol")
    page = reverse("admin:user_funds", args=[ada.pk])
    assert client.get(page).status_code == 403
    body = {"direction": "credit", "asset": "USDT", "amount": "1", "reason": "x", "key": "k" * 9}
    assert client.post(page, body).status_code == 403
    assert (
        "Credit or debit"
        not in client.get(reverse("admin:exchange_user_change", args=[ada.pk])).content.decode()
    )
