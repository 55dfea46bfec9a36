"""The API while Postgres is away: never a 500, and never a claim that nothing happened."""

import json
from typing import cast

import psycopg
import pytest
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from psycopg_pool import PoolTimeout

from exchange.access.principals import principal_of_key, principal_of_user
from exchange.api.answers import Answer
from exchange.api.resources import in_thread
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from tests.services.test_public_costs import public_paths

AWAY = [OperationalError, psycopg.OperationalError, PoolTimeout]


@pytest.mark.parametrize("error", AWAY)
@pytest.mark.parametrize(
    ("method", "code"),
    [("GET", Code.ENGINE_UNAVAILABLE), ("POST", Code.ENGINE_OUTCOME_UNKNOWN)],
)
def test_view_that_loses_the_database_answers_503(
    error: type[Exception], method: str, code: Code
) -> None:
    async def gone(request: HttpRequest) -> Answer:
        raise error("gone")

    response = cast(
        HttpResponse,
        in_thread(lambda _: gone)(
            RequestFactory().generic(method, "/api/v1/orders", **{"takas.request_id": "test"})
        ),
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


def gone(*_: object) -> object:
    raise OperationalError("gone")


PAGES = ["/login", "/keys", "/trade/BTC-USDT", "/admin/", "/admin/login/", "/admin/exchange/user/"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", PAGES)
@pytest.mark.django_db
def test_pages_answer_503_with_one_line_and_no_traceback(
    path: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = "a" * 32
    with connection.execute_wrapper(gone):
        response = client.generic(
            method, path, "username=ada&password=right", "application/x-www-form-urlencoded"
        )

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "cannot answer right now" in response.content.decode()
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [line["event"] for line in lines] == ["api.database_away"]
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.django_db
def test_no_public_address_answers_500() -> None:
    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = "a" * 32
    with connection.execute_wrapper(gone):
        statuses = {path: client.get(path).status_code for path in public_paths()}
    assert [path for path, status in statuses.items() if status == 500] == []
