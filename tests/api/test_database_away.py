"""The API while Postgres is away: never a 500, and never a claim that nothing happened."""

import json
from typing import cast

import psycopg
import pytest
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from psycopg_pool import PoolTimeout

from exchange.access.principals import principal_of_key, principal_of_user
from exchange.api.errors import api_view
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError

AWAY = [OperationalError, psycopg.OperationalError, PoolTimeout]


@pytest.mark.parametrize("error", AWAY)
@pytest.mark.parametrize(
    ("method", "code"),
    [("GET", Code.ENGINE_UNAVAILABLE), ("POST", Code.ENGINE_OUTCOME_UNKNOWN)],
)
def test_view_that_loses_the_database_answers_503(
    error: type[Exception], method: str, code: Code
) -> None:
    @api_view(["GET", "POST"])
    def view(request: HttpRequest) -> HttpResponse:
        raise error("gone")

    response = cast(
        HttpResponse,
        view(RequestFactory().generic(method, "/api/v1/orders", **{"takas.request_id": "test"})),
    )

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert json.loads(response.content)["code"] == code


@pytest.mark.parametrize("error", AWAY)
@pytest.mark.django_db
def test_who_is_asking_cannot_be_read_so_nothing_was_taken(error: type[Exception]) -> None:
    def gone(*_: object) -> object:
        raise error("gone")

    with connection.execute_wrapper(gone):
        with pytest.raises(DomainError) as by_key:
            principal_of_key("tk_nobody")
        with pytest.raises(DomainError) as by_session:
            principal_of_user(1)

    assert by_key.value.code is Code.ENGINE_UNAVAILABLE
    assert by_session.value.code is Code.ENGINE_UNAVAILABLE
