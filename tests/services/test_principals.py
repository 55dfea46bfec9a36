"""Principals of API keys: kept for minutes, and never used later than a change allows."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from exchange.access import principal_changes, principals
from exchange.access.principal_changes import (
    PRINCIPAL_AGE_MAX_S,
    PRINCIPAL_KEPT_S,
    Changes,
    Watch,
)
from exchange.access.principals import (
    CachedPrincipal,
    key_look_up,
    key_used,
    principal_of_key,
    principal_of_user,
    principals_forget,
)
from exchange.access.secrets import SecretUnreadable
from exchange.api.keys import api_key_create
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra import redis as redis_module
from exchange.infra.copies import Copy
from exchange.infra.database import connect
from exchange.models import AccountGroup, ApiKey, PrincipalChange, Tier, User
from tests.factories.models import UserFactory
from tests.factories.trading import redis_away
from wallets.services import account_open

pytestmark = pytest.mark.django_db(transaction=True)

USERS = 5
Passes = Callable[[float], None]


@pytest.fixture(autouse=True)
def moment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Passes]:
    """A clock of the principals alone. Each look at it is a microsecond later than the last."""
    now = [1_000.0]

    def clock() -> float:
        now[0] += 1e-6
        return now[0]

    for module in (principals, principal_changes):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    old = principal_changes.changes_copy
    monkeypatch.setattr(
        principal_changes,
        "changes_copy",
        Copy(Watch().look, age_max_s=old.age_max_s, stale_max_s=PRINCIPAL_AGE_MAX_S, now_s=clock),
    )
    principals_forget()

    def passes(seconds: float) -> None:
        now[0] += seconds

    yield passes
    principals_forget()


@pytest.fixture
def keys() -> list[ApiKey]:
    made = [
        api_key_create(user_id=UserFactory.create().pk, label="", can_trade=True)[0]
        for _ in range(USERS)
    ]
    principal_changes.changes_copy.get()  # what the making changed is known
    return made


def statements_of(key_ids: list[str]) -> int:
    with CaptureQueriesContext(connection) as statements:
        for key_id in key_ids:
            principal_of_key(key_id)
    return len(statements)


def refusal_of(key_id: str) -> Code:
    with pytest.raises(DomainError) as refusal:
        principal_of_key(key_id)
    return refusal.value.code


def test_a_key_is_kept_while_nothing_of_its_user_changes(
    keys: list[ApiKey], moment: Passes
) -> None:
    key_ids = [key.key_id for key in keys]
    assert statements_of(key_ids) == USERS
    for _ in range(20):
        moment(PRINCIPAL_AGE_MAX_S)
        assert statements_of(key_ids) == 1  # that asks for all changes
        assert statements_of(key_ids) == 0
    moment(PRINCIPAL_KEPT_S)
    assert statements_of(key_ids) == USERS


def test_a_change_of_one_user_costs_no_look_up_of_others(
    keys: list[ApiKey], moment: Passes
) -> None:
    key_ids = [key.key_id for key in keys]
    statements_of(key_ids)
    User.objects.filter(pk=keys[0].user_id).update(is_suspended=True)
    moment(PRINCIPAL_AGE_MAX_S)
    assert statements_of(key_ids) == 1 + 1
    assert principal_of_key(key_ids[0]).principal.is_suspended


def sql(statement: str) -> Callable[[ApiKey], None]:
    """A change by hand, of which no code of ours knows."""

    def change(key: ApiKey) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, {"key": key.key_id, "user": key.user_id})

    return change


def tier_of(key: ApiKey) -> None:
    User.objects.filter(pk=key.user_id).update(tier=Tier.objects.create(name="maker"))


def group_of(key: ApiKey) -> None:
    User.objects.filter(pk=key.user_id).update(group=AccountGroup.objects.create(name="firm"))


def moved(key: ApiKey) -> None:
    """To another user: what was known of the first one is void."""
    ApiKey.objects.filter(pk=key.pk).update(user=UserFactory.create())


KEY = "UPDATE exchange_apikey SET {} WHERE key_id = %(key)s"
USER = "UPDATE exchange_user SET {} WHERE id = %(user)s"
GONE = {
    "revoked": sql(KEY.format("revoked_at = now()")),
    "key deleted": sql("DELETE FROM exchange_apikey WHERE key_id = %(key)s"),
    "deactivated": sql(USER.format("is_active = false")),
    "renamed": sql(KEY.format("key_id = 'tk_another'")),
}
CHANGED = {
    "scope": sql(KEY.format("can_trade = false")),
    "expiry": sql(KEY.format("expires_at = now()")),
    "owner": moved,
    "suspended": sql(USER.format("is_suspended = true")),
    "self-trade": sql(USER.format("self_trade_prevention = 'cancel_resting'")),
    "tier": tier_of,
    "group": group_of,
    "default tier": lambda _: Tier.objects.create(name="all", is_default=True, may_self_trade=True),
    "account": lambda key: account_open(user_id=key.user_id),
}


@pytest.mark.parametrize("change", GONE.values(), ids=list(GONE))
def test_what_ends_a_key_ends_it_in_time(
    change: Callable[[ApiKey], None], keys: list[ApiKey], moment: Passes
) -> None:
    key = keys[0]
    principal_of_key(key.key_id)
    change(key)
    moment(PRINCIPAL_AGE_MAX_S)
    assert refusal_of(key.key_id) is Code.AUTH_KEY_UNKNOWN


@pytest.mark.parametrize("change", CHANGED.values(), ids=list(CHANGED))
def test_every_change_of_a_principal_is_known_in_time(
    change: Callable[[ApiKey], object], keys: list[ApiKey], moment: Passes
) -> None:
    key = keys[0]
    before = principal_of_key(key.key_id)
    change(key)
    moment(PRINCIPAL_AGE_MAX_S)
    after = principal_of_key(key.key_id)
    assert (after.principal, after.expires_at) != (before.principal, before.expires_at)


def test_the_limits_of_a_tier_are_known_in_time(keys: list[ApiKey], moment: Passes) -> None:
    tier_of(keys[0])
    key_id = keys[0].key_id
    principal_of_key(key_id)
    Tier.objects.update(orders_per_second=77)
    moment(PRINCIPAL_AGE_MAX_S)
    assert principal_of_key(key_id).principal.limits.orders == 77


def test_a_session_knows_in_time_that_its_user_is_suspended(
    keys: list[ApiKey], moment: Passes
) -> None:
    user_id = keys[0].user_id
    assert not principal_of_user(user_id).principal.is_suspended
    User.objects.filter(pk=user_id).update(is_suspended=True)
    moment(PRINCIPAL_AGE_MAX_S)
    assert principal_of_user(user_id).principal.is_suspended


def test_a_changed_secret_is_read_with_the_key(keys: list[ApiKey], moment: Passes) -> None:
    first, second = keys[:2]
    old = principal_of_key(first.key_id).secret
    assert principal_of_key(second.key_id).secret != old
    ApiKey.objects.filter(pk=first.pk).update(secret_encrypted=second.secret_encrypted)
    moment(PRINCIPAL_AGE_MAX_S)
    assert principal_of_key(first.key_id).secret == principal_of_key(second.key_id).secret


def test_a_change_that_commits_after_later_ones_is_known(
    keys: list[ApiKey], moment: Passes
) -> None:
    """Its transaction began first: neither its time nor its number tells that it is new."""
    early, late = keys[0].key_id, keys[1].key_id
    statements_of([early, late])
    revoke = "UPDATE exchange_apikey SET revoked_at = now() WHERE key_id = %s"
    with closing(connect("slow")) as slow:
        slow.execute("BEGIN")
        slow.execute(revoke, [early])
        ApiKey.objects.filter(key_id=late).update(revoked_at="2026-01-01T00:00:00Z")
        moment(PRINCIPAL_AGE_MAX_S)
        assert refusal_of(late) is Code.AUTH_KEY_UNKNOWN
        principal_of_key(early)  # it is not revoked yet
        slow.execute("COMMIT")
        moment(PRINCIPAL_AGE_MAX_S)
        assert refusal_of(early) is Code.AUTH_KEY_UNKNOWN


def test_what_was_read_before_a_change_became_known_is_not_trusted() -> None:
    """A look-up may begin before the change, and be kept after it became known."""
    changes = Changes(of_all_s=10.0, of_user_s={7: 20.0})
    assert [changes.spare(7, read_s) for read_s in (9.0, 19.0, 20.0, 21.0)] == [0, 0, 0, 1]
    assert [changes.spare(8, read_s) for read_s in (9.0, 10.0, 11.0)] == [0, 0, 1]


def gone(*_: object) -> object:
    raise OperationalError("gone")


def test_while_postgres_is_away_no_key_outlives_the_bound(
    keys: list[ApiKey], moment: Passes
) -> None:
    key_id = keys[0].key_id
    principal_of_key(key_id)
    with connection.execute_wrapper(gone):
        for _ in range(3):
            moment(PRINCIPAL_AGE_MAX_S)
            assert refusal_of(key_id) is Code.ENGINE_UNAVAILABLE
    ApiKey.objects.update(revoked_at="2026-01-01T00:00:00Z")
    assert refusal_of(key_id) is Code.AUTH_KEY_UNKNOWN


def test_without_redis_a_revoked_key_ends_in_time(
    keys: list[ApiKey], moment: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_module, "redis_client", redis_away)
    principal_of_key(keys[0].key_id)
    ApiKey.objects.update(revoked_at="2026-01-01T00:00:00Z")
    moment(PRINCIPAL_AGE_MAX_S)
    assert refusal_of(keys[0].key_id) is Code.AUTH_KEY_UNKNOWN


@pytest.mark.parametrize("what", ["server_start", "at"])
def test_another_server_or_a_long_gap_voids_all(what: str, moment: Passes) -> None:
    """Snapshots of one server say nothing of another; old notes may have been deleted."""
    watch = Watch()
    first = watch.look()
    assert watch.look().of_all_s == first.of_all_s
    assert watch.last is not None
    watch.last = watch.last._replace(**{what: getattr(watch.last, what) - timedelta(hours=2)})
    assert watch.look().of_all_s > first.of_all_s


def test_what_is_kept_is_bounded(
    keys: list[ApiKey], moment: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_ids = [key.key_id for key in keys]
    monkeypatch.setattr(principals, "PRINCIPALS_MAX", 3)
    statements_of(key_ids)
    assert statements_of(key_ids[2:]) == 0
    assert statements_of(key_ids[:2]) == 2


def test_where_too_many_users_changed_all_are_read_again(
    keys: list[ApiKey], moment: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch()
    monkeypatch.setattr(principal_changes, "CHANGED_MAX", 3)
    first = watch.look()
    for user_ids, is_all in ((keys[:3], False), (keys[3:], True)):
        User.objects.filter(pk__in=[key.user_id for key in user_ids]).update(is_suspended=True)
        changes = watch.look()
        assert (changes.of_all_s > first.of_all_s) is is_all
        assert all(not changes.spare(key.user_id, first.of_all_s) for key in user_ids)


def test_notes_are_deleted_after_a_day(keys: list[ApiKey]) -> None:
    User.objects.update(is_suspended=True)
    assert PrincipalChange.objects.count() == USERS
    sql("UPDATE exchange_principalchange SET noted_at = noted_at - interval '25 hours'")(keys[0])
    User.objects.filter(pk=keys[0].user_id).update(is_suspended=False)
    assert PrincipalChange.objects.count() == 1


def test_the_use_of_a_key_is_no_change(keys: list[ApiKey], moment: Passes) -> None:
    before = PrincipalChange.objects.count()
    ApiKey.objects.update(last_used_at="2026-01-01T00:00:00Z")
    User.objects.update(last_login="2026-01-01T00:00:00Z")
    assert PrincipalChange.objects.count() == before


def test_keys_of_a_moment_are_looked_up_and_told_used_together(
    keys: list[ApiKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among them one that nobody has and one that cannot be opened: they fail alone."""
    statements = itertools.count()
    for name in ("rows_of_keys", "keys_use"):
        counted(monkeypatch, name, statements)
    unreadable = keys[0]
    ApiKey.objects.filter(pk=unreadable.pk).update(secret_encrypted=b"of another box")

    async def run() -> list[Any]:
        key_ids = [key.key_id for key in keys]
        asked = [key_look_up(key_id, is_proven=True) for key_id in [*key_ids, "tk_nobody"]]
        found = await asyncio.gather(*asked, return_exceptions=True)
        good = [one for one in found if isinstance(one, CachedPrincipal)]
        assert all(one.is_use_due for one in good)
        await asyncio.gather(*(key_used(one) for one in good))
        assert not any(one.is_use_due for one in good)
        return found

    unread, *good, nobody = asyncio.run(run())
    assert isinstance(unread, SecretUnreadable)
    assert [one.principal.user_id for one in good] == [key.user_id for key in keys[1:]]
    assert isinstance(nobody, DomainError)
    assert nobody.code is Code.AUTH_KEY_UNKNOWN
    used = ApiKey.objects.filter(last_used_at__isnull=False)
    assert set(used.values_list("pk", flat=True)) == {key.pk for key in keys[1:]}
    assert next(statements) <= 4  # a thread may take the first one of a moment alone


def counted(monkeypatch: pytest.MonkeyPatch, name: str, calls: Iterator[int]) -> None:
    """Count the calls of a function of the principals."""
    function = getattr(principals, name)

    def counting(*args: Any) -> Any:
        next(calls)
        return function(*args)

    monkeypatch.setattr(principals, name, counting)
