"""Two web processes for the API and two for the pages, on one database: who serves what."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from orders.models import Order
from tests.factories.models import UserFactory
from tests.factories.role import Running, locked, role_running, wait_for
from tests.factories.trading import Trader, encode, order_body
from tests.lab.clients.visitor import Visitor

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.usefixtures("fresh_process"),
]

WORD = "right horse"
THREADS = 2
LISTS = 6  # more than the threads
# Pages wait for a lock longer than the test does.
PATIENT = {"DB_LOCK_TIMEOUT_MS": "600000", "DB_STATEMENT_TIMEOUT_MS": "600000"}
Answer = tuple[int, bytes]


class Areas(NamedTuple):
    """The processes of both areas."""

    api: Running
    pages: Running


@contextmanager
def areas_running(ada: Trader, folder: Path, workers: int = 1) -> Iterator[Areas]:
    """So many processes for each area: each area has its ports and its folder of metrics."""
    folders = [folder / "api", folder / "pages"]
    for one in folders:
        one.mkdir()
    ada.user.set_password(WORD)
    ada.user.save()
    with (
        role_running("web", folders[0], web_workers=workers, WEB_SERVES="api") as api,
        role_running(
            "web",
            folders[1],
            web_workers=workers,
            WEB_SERVES="pages",
            WEB_THREADS=str(THREADS),
            **PATIENT,
        ) as pages,
    ):
        yield Areas(api, pages)


def browser_of_ada(areas: Areas) -> Visitor:
    """Ada's browser, signed in on the pages."""
    visitor = Visitor(areas.pages.url)
    visitor.sign_in("ada", WORD)
    return visitor


def calls(areas: Areas, browser: Visitor) -> Visitor:
    """The same browser where the front sends its calls of the API."""
    return Visitor(areas.api.url, browser.cookies)


def code_of(answer: Answer) -> tuple[int, str]:
    return answer[0], json.loads(answer[1])["code"]


def role_of(answer: Answer | tuple[int, str]) -> str:
    assert answer[0] == 200
    return str(json.loads(answer[1])["role"])


PATHS_OF_PAGES = ("/", "/login", "/admin/", "/admin/login/", "/trade/BTC-USDT", "/api/docs",
                  "/api/schema", "/static/takas/page.css", "/nothing")  # fmt: skip
MISDIRECTED = (421, "request.misdirected")
NO_TOKEN = (403, "auth.csrf_failed")
AS_JSON = {"Content-Type": "application/json"}
REFUSED = "takas_web_refused_total"


def test_two_processes_each_for_orders_and_for_people(ada: Trader, tmp_path: Path) -> None:
    with areas_running(ada, tmp_path, workers=2) as areas:
        browser = browser_of_ada(areas)
        they_answer_what_is_theirs(areas, browser, ada)
        they_refuse_what_is_not(areas, browser, ada)
        a_session_of_the_pages_counts_for_the_api(areas, browser)
        each_area_has_its_own_probes_and_metrics(areas)
        assert Order.objects.count() == 2


def they_answer_what_is_theirs(areas: Areas, browser: Visitor, ada: Trader) -> None:
    with areas.api.client(ada) as client:
        assert client.order_place(order_body()).status == 201
    for path in ("/trade/BTC-USDT", "/keys", "/api/docs", "/static/takas/page.css"):
        assert browser.get(path)[0] == 200, path
    assert "/api/v1/orders" in json.loads(browser.get("/api/schema")[1])["paths"]
    assert Visitor(areas.pages.url).get("/admin/login/")[0] == 200


def they_refuse_what_is_not(areas: Areas, browser: Visitor, ada: Trader) -> None:
    for path in PATHS_OF_PAGES:
        assert code_of(calls(areas, browser).get(path)) == MISDIRECTED, path
    with areas.pages.client(ada) as client:
        refused = client.order_place(order_body())
        assert (refused.status, refused.code()) == MISDIRECTED
    assert code_of(browser.api("POST", "/orders", encode(order_body()))) == MISDIRECTED


def a_session_of_the_pages_counts_for_the_api(areas: Areas, browser: Visitor) -> None:
    caller = calls(areas, browser)
    assert caller.api("GET", "/balances")[0] == 200
    body = encode(order_body())
    assert code_of(caller.send("POST", "/api/v1/orders", body, AS_JSON)) == NO_TOKEN
    assert caller.api("POST", "/orders", body)[0] == 201
    ended = Visitor(areas.api.url, dict(browser.cookies))
    assert browser.form("/logout", {})[0] == 302
    assert ended.api("GET", "/balances")[0] == 401


def each_area_has_its_own_probes_and_metrics(areas: Areas) -> None:
    for running, role in ((areas.api, "web-api"), (areas.pages, "web-pages")):
        assert len(running.children()) == 2
        assert role_of(running.health("/readyz")) == role
        assert role_of(Visitor(running.url).get("/readyz")) == role
    api, pages = areas
    wait_for(lambda: api.metric("takas_orders_accepted_total") == 2, "not counted", api.log)
    wait_for(lambda: api.metric(REFUSED) == len(PATHS_OF_PAGES), "not counted", api.log)
    wait_for(lambda: pages.metric(REFUSED) == 2, "not counted", pages.log)
    assert pages.metric("takas_orders_accepted_total") == 0


def test_pages_that_stand_still_hold_no_thread_of_the_api(ada: Trader, tmp_path: Path) -> None:
    """All threads of the pages wait; an order of a session, which needs a thread, is answered."""
    UserFactory.create(superuser=True, username="root", password=WORD)
    with areas_running(ada, tmp_path) as areas, ThreadPoolExecutor(LISTS) as people:
        pages = areas.pages
        caller = calls(areas, browser_of_ada(areas))
        office = Visitor(pages.url)
        office.sign_in("root", WORD)

        def list_of_trades(_: int) -> int:
            return Visitor(pages.url, office.cookies).get("/admin/orders/trade/")[0]

        with locked("orders_trade"):
            asked = people.map(list_of_trades, range(LISTS))
            wait_for(lambda: pages.metric("takas_web_requests") == LISTS, "none wait", pages.log)
            for _ in range(5):
                with areas.api.client(ada) as client:
                    assert client.order_place(order_body()).status == 201
                assert caller.api("POST", "/orders", encode(order_body()))[0] == 201
            assert pages.metric("takas_web_requests") == LISTS
        assert list(asked) == [200] * LISTS
    assert Order.objects.count() == 10
