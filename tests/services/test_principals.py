"""Principals of API keys: each read in time, and the keys in use together."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from exchange.access import principals
from exchange.access.principals import principal_of_key, principals_forget
from exchange.access.secrets import SecretUnreadable
from exchange.api.keys import api_key_create
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.models import ApiKey
from tests.factories.models import UserFactory

pytestmark = pytest.mark.django_db

USERS = 5


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """A clock of the principals alone, which goes on only when it is told to."""
    now = [1_000.0]
    monkeypatch.setattr(principals, "time", SimpleNamespace(monotonic=lambda: now[0]))
    principals_forget()

    def passes(seconds: float) -> None:
        now[0] += seconds

    yield passes
    principals_forget()


@pytest.fixture
def keys() -> list[ApiKey]:
    return [
        api_key_create(user_id=UserFactory.create().pk, label="", can_trade=True)[0]
        for _ in range(USERS)
    ]


def statements_of(key_ids: list[str]) -> int:
    with CaptureQueriesContext(
        connection,
    ) as statements:
        for key_id in key_ids:
            principal_of_key(key_id)
    return len(statements)


def test_the_keys_in_use_are_read_again_by_one_statement(
    keys: list[ApiKey], moment: Callable[[float], None]
) -> None:
    key_ids = [key.key_id for key in keys]
    assert statements_of(key_ids) == USERS  # each is new
    assert statements_of(key_ids) == 0
    moment(principals.PRINCIPAL_AGE_MAX_S)
    assert statements_of(key_ids) == 1
    assert statements_of(key_ids) == 0


def test_a_key_that_is_not_used_is_not_read_again(
    keys: list[ApiKey], moment: Callable[[float], None]
) -> None:
    asked, unused = keys[0].key_id, keys[1].key_id
    statements_of([asked, unused])
    moment(principals.PRINCIPAL_AGE_MAX_S)
    assert statements_of([asked]) == 1
    assert statements_of([unused]) == 1


def test_a_revoked_key_is_refused_though_another_key_was_asked_for(
    keys: list[ApiKey], moment: Callable[[float], None]
) -> None:
    asked, revoked = keys[0].key_id, keys[1].key_id
    statements_of([asked, revoked])
    statements_of([asked, revoked])  # both are in use
    ApiKey.objects.filter(key_id=revoked).update(revoked_at="2026-01-01T00:00:00Z")
    moment(principals.PRINCIPAL_AGE_MAX_S)
    principal_of_key(asked)
    with pytest.raises(DomainError) as refusal:
        principal_of_key(revoked)
    assert refusal.value.code is Code.AUTH_KEY_UNKNOWN


def test_a_changed_secret_is_read_with_the_key(
    keys: list[ApiKey], moment: Callable[[float], None]
) -> None:
    first, second = keys[:2]
    old = principal_of_key(first.key_id).secret
    assert principal_of_key(second.key_id).secret != old
    ApiKey.objects.filter(pk=first.pk).update(secret_encrypted=second.secret_encrypted)
    moment(principals.PRINCIPAL_AGE_MAX_S)
    assert principal_of_key(first.key_id).secret == principal_of_key(second.key_id).secret


def test_a_secret_that_cannot_be_opened_costs_no_other_key(
    keys: list[ApiKey], moment: Callable[[float], None]
) -> None:
    """As while another process encrypts with a key of SECRETS_KEY that this one has not yet."""
    asked, unreadable = keys[0].key_id, keys[1].key_id
    statements_of([asked, unreadable])
    statements_of([asked, unreadable])  # both are in use
    ApiKey.objects.filter(key_id=unreadable).update(secret_encrypted=b"of another box")
    moment(principals.PRINCIPAL_AGE_MAX_S)
    assert principal_of_key(asked).principal.key_id == asked
    with pytest.raises(SecretUnreadable):
        principal_of_key(unreadable)
