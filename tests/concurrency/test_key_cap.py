"""The cap on API keys of a user, while many requests make keys at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from exchange.api.keys import KEYS_PER_USER_MAX, api_key_add
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.models import ApiKey
from tests.factories.models import UserFactory

AT_ONCE = 45


@pytest.mark.django_db(transaction=True)
def test_however_many_ask_at_once_a_user_has_no_more_keys_than_the_cap() -> None:
    user = UserFactory.create(username="ada")
    begin = Barrier(AT_ONCE)

    def ask(number: int) -> str:
        begin.wait(30)
        try:
            api_key_add(user_id=user.pk, label=str(number), can_trade=False)
        except DomainError as refusal:
            return str(refusal.code)
        finally:
            connection.close()
        return "made"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(ask, range(AT_ONCE)))
    assert ApiKey.objects.filter(user=user).count() == KEYS_PER_USER_MAX
    assert outcomes.count("made") == KEYS_PER_USER_MAX
    assert outcomes.count(Code.AUTH_KEYS_MAX.value) == AT_ONCE - KEYS_PER_USER_MAX
