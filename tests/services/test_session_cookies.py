"""Malformed session cookies: nobody's, and without cost."""

from typing import Any

import pytest
from django.test import Client

from tests.factories.models import SymbolFactory, UserFactory

pytestmark = pytest.mark.django_db

HOSTILE = [
    '"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\000"',
    '"\\000"',
    "' OR 1=1 --aaaaaaaaaaaaaaaaaaaaa",
    "a" * 33,
    "A" * 32,
    "\u00e9" * 32,
    "",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_session_cookie_is_nobody(value: str, django_assert_num_queries: Any) -> None:
    SymbolFactory.create(code="BTC-USDT")
    with django_assert_num_queries(0):
        for path in ("/keys", "/admin/", "/api/v1/balances"):
            cookie = f"sessionid={value}; csrftoken={value}; messages={value}"
            response = Client().get(path, headers={"Cookie": cookie})
            assert response.status_code in (302, 401), path


def test_a_real_one_is_somebody(client: Client) -> None:
    client.force_login(UserFactory.create(username="ada", password="x"))
    assert client.get("/api/v1/keys").status_code in (200, 403)
