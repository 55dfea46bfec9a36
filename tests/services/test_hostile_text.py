"""NUL in a request for a page or the back office: a 400, never a fault."""

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from tests.factories.back_office import registered
from tests.factories.models import SymbolFactory, UserFactory

pytestmark = pytest.mark.django_db

PAGES = [
    "/trade/%00",
    "/trade/BTC-USDT%00",
    "/login?next=%00",
    "/keys?%00=1",
    "/brand.css?x=%00",
    "/brand/logo.svg?x=%00",
    "/admin/%00",
    "/admin/autocomplete/?term=%00&app_label=risk&model_name=orderlimit&field_name=user",
    "/api/schema?format=%00",
    "/api/docs?x=%00",
    "/nothing%00",
]


@pytest.fixture
def root(client: Client, settings: Any) -> Client:
    settings.PUBLIC_WEIGHT_PER_SECOND = 0
    SymbolFactory.create(code="BTC-USDT")
    client.force_login(UserFactory.create(superuser=True, username="root", password="x"))
    client.raise_request_exception = False
    return client


def answered(response: Any) -> int:
    assert isinstance(response, HttpResponse)
    return response.status_code


@pytest.mark.parametrize("path", PAGES)
def test_pages(root: Client, path: str) -> None:
    assert answered(root.get(path)) == 400
    assert Client().get(path).status_code == 400


def test_the_back_office(root: Client) -> None:
    for model in registered():
        place = f"/admin/{model._meta.app_label}/{model._meta.model_name}"
        names = [field.name for field in model._meta.fields]
        for name in (*names, "q", "o", "p", "_changelist_filters"):
            assert answered(root.get(f"{place}/?{name}__exact=a%00")) == 400
        assert answered(root.get(f"{place}/a%00/change/")) == 400
        action = {"action": "delete_selected", "_selected_action": "\x00", "index": "0"}
        assert answered(root.post(f"{place}/", action)) == 400
        for name in names:
            assert answered(root.post(f"{place}/add/", {name: "a\x00"})) == 400


def test_forms_of_both_kinds(root: Client) -> None:
    stranger = Client()
    assert stranger.post("/login", {"username": "a\x00", "password": "b"}).status_code == 400
    coded = "application/x-www-form-urlencoded"
    assert stranger.post("/login", b"username=a%00&password=b", coded).status_code == 400
    assert stranger.post("/login", b"user%00name=a&password=b", coded).status_code == 400
    assert stranger.post("/login", b"username=a&password=b", coded).status_code == 401
