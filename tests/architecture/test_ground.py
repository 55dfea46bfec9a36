"""The ground of the tests: real servers answer, settings hold together."""

import pytest
from django.core.cache import cache
from django.db import connection


@pytest.mark.django_db
def test_tests_run_on_postgres_18_or_a_server_of_choice() -> None:
    assert connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_encoding")
        assert cursor.fetchone() == ("UTF8",)


def test_cache_reaches_redis() -> None:
    cache.set("ground", 1, 5)
    assert cache.get("ground") == 1
