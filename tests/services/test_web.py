"""Pages of exchange.web: who gets in, what a page may load, which brand it wears."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from exchange.access.principals import principals_forget
from exchange.api import admission
from exchange.api.admission import BURST_SECONDS, PAGE_WEIGHT
from exchange.api.routes import Bucket
from exchange.infra.buckets import LocalBuckets
from exchange.infra.redis import redis_client
from exchange.models import Brand, Symbol, User
from exchange.selectors import catalogue_forget
from exchange.web.brands import brands_forget
from tests.factories.models import (
    BrandFactory,
    FeeScheduleFactory,
    SymbolFactory,
    TierFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh() -> None:
    """No brand and no failed attempt of an earlier test is remembered."""
    brands_forget()
    catalogue_forget()
    principals_forget()
    redis_client().flushdb()
    SymbolFactory.create(code="BTC-USDT", position=2)
    SymbolFactory.create(code="ETH-USDT", position=1)


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(UserFactory.create(username="ada", password="right"))
    return client


class Inline(HTMLParser):
    """Collects what a strict policy forbids: inline code and style, and foreign addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "script" and "src" not in values and values.get("type") != "application/json":
            self.found.append("inline script")
        if tag == "style":
            self.found.append("inline style")
        for name, value in attrs:
            if name == "style" or name.startswith("on"):
                self.found.append(f"{tag} {name}")
            if name in ("src", "href") and re.match(r"(https?:)?//", value or ""):
                self.found.append(f"{tag} {name}={value}")


@pytest.mark.parametrize("path", ["/trade/BTC-USDT", "/keys"])
def test_pages_of_an_account_ask_for_a_sign_in_and_come_back(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"] == f"/login?next={path}"


@pytest.mark.parametrize("path", ["/login", "/trade/BTC-USDT", "/keys"])
def test_pages_hold_nothing_inline_and_send_a_strict_policy(client: Client, path: str) -> None:
    if path != "/login":
        client.force_login(UserFactory.create(username="ada", password="right"))
    response = client.get(path)
    assert response.status_code == 200
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    inline = Inline()
    inline.feed(response.content.decode())
    assert inline.found == []


def test_home_goes_to_the_first_market(client: Client) -> None:
    assert client.get("/")["Location"] == "/trade/BTC-USDT"


def test_unknown_symbols_are_not_found(ada: Client) -> None:
    assert ada.get("/trade/DOGE-USDT").status_code == 404
    assert ada.get("/trade/<script>").status_code == 404


def sign_in(client: Client, password: str, **extra: str) -> int:
    values = {"username": "ada", "password": password, **extra}
    return client.post("/login", values).status_code


def test_sign_in_and_out(client: Client) -> None:
    UserFactory.create(username="ada", password="right")
    assert sign_in(client, "wrong") == 401
    assert sign_in(client, "right") == 302
    assert client.get("/keys").status_code == 200
    assert client.get("/logout").status_code == 405, "a link must not sign anybody out"
    assert client.post("/logout").status_code == 302
    assert client.get("/keys").status_code == 302


def test_sign_in_needs_the_csrf_token() -> None:
    UserFactory.create(username="ada", password="right")
    client = Client(enforce_csrf_checks=True)
    assert sign_in(client, "right") == 403
    page = client.get("/login").content.decode()
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found
    assert sign_in(client, "right", csrfmiddlewaretoken=found[1]) == 302


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:1"])
def test_sign_in_leads_to_no_other_host(client: Client, target: str) -> None:
    UserFactory.create(username="ada", password="right")
    values = {"username": "ada", "password": "right", "next": target}
    assert client.post("/login", values)["Location"] == "/"


def brand_make() -> Brand:
    BrandFactory.create(slug="main", name="Main", is_default=True)
    brand = BrandFactory.create(
        slug="mavi",
        name="Mavi Borsa",
        host="testserver",
        colour_primary="#123456",
        logo_svg="<svg xmlns='http://www.w3.org/2000/svg'/>",
    )
    brand.symbols.set([SymbolFactory.create(code="ETH-BTC")])
    return brand


def test_brand_follows_the_host_name(client: Client) -> None:
    brand_make()
    assert "Mavi Borsa" in client.get("/login").content.decode()
    assert "#123456" in client.get("/brand.css").content.decode()
    assert client.get("/")["Location"] == "/trade/ETH-BTC"
    other = client.get("/login", headers={"host": "localhost"})
    assert "Main" in other.content.decode()


def test_brand_shows_its_own_symbols_only(ada: Client) -> None:
    brand_make()
    assert ada.get("/trade/ETH-BTC").status_code == 200
    assert ada.get("/trade/BTC-USDT").status_code == 404


def test_brand_without_a_list_shows_every_listed_symbol(ada: Client) -> None:
    BrandFactory.create(slug="main", name="Main", is_default=True)
    SymbolFactory.create(code="NEW-USDT", position=3)
    page = ada.get("/trade/NEW-USDT").content.decode()
    for code in ("BTC-USDT", "ETH-USDT", "NEW-USDT"):
        assert f'<option value="{code}"' in page


def test_the_page_of_an_unlisted_symbol_stays_and_is_not_offered(ada: Client) -> None:
    Symbol.objects.filter(code="BTC-USDT").update(is_listed=False)
    brands_forget()
    catalogue_forget()
    assert "BTC-USDT (not listed)" in ada.get("/trade/BTC-USDT").content.decode()
    assert "BTC-USDT" not in ada.get("/trade/ETH-USDT").content.decode()
    assert ada.get("/")["Location"] == "/trade/ETH-USDT"
    assert ada.get("/trade/NO-SUCH").status_code == 404


def test_the_page_tells_the_users_own_fees_in_percent(ada: Client) -> None:
    tier = TierFactory.create(name="vip")
    FeeScheduleFactory.create(tier=tier, symbol=None, maker_ppm=0, taker_ppm=450)
    User.objects.update(tier=tier)
    page = ada.get("/trade/BTC-USDT").content.decode()
    assert "0&#8239;% / 0.045&#8239;%" in page
    assert 'data-taker-ppm="450"' in page


def test_pages_of_a_network_run_out_and_static_files_do_not(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "public_buckets", LocalBuckets(lambda: 0))  # no time passes
    settings.PUBLIC_WEIGHT_PER_SECOND = 1
    taken = BURST_SECONDS[Bucket.PUBLIC] // PAGE_WEIGHT
    statuses = [client.get("/login").status_code for _ in range(taken + 1)]
    assert statuses == [200] * taken + [429]
    response = client.get("/admin/")
    assert (response.status_code, response["Retry-After"]) == (429, "2")
    static: Any = client.get("/static/takas/trade.js")
    assert (static.status_code, b"".join(static.streaming_content) != b"") == (200, True)
    static.close()
    assert client.get("/api/v1/time").status_code == 200
    assert client.get("/login", REMOTE_ADDR="203.0.113.7").status_code == 200


def test_brand_logo_runs_nothing(client: Client) -> None:
    assert client.get("/brand/logo.svg").status_code == 404
    brand_make()
    brands_forget()
    response = client.get("/brand/logo.svg")
    assert response["Content-Type"].startswith("image/svg+xml")
    assert "sandbox" in response["Content-Security-Policy"]


def test_brand_css_is_not_sent_twice(client: Client) -> None:
    etag = client.get("/brand.css")["ETag"]
    assert client.get("/brand.css", headers={"if-none-match": etag}).status_code == 304


def test_page_without_any_symbol_says_so(client: Client) -> None:
    Symbol.objects.update(is_listed=False)
    response = client.get(reverse("home"))
    assert response.status_code == 503
    assert "Nothing to trade yet" in response.content.decode()
