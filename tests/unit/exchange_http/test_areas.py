"""Areas of the site: which process serves a path, and what the door says to others."""

import re
from typing import Any

import pytest
from django.urls import URLPattern

from config.env import WEB_AREAS
from config.urls import patterns_of
from exchange.domain.codes import Code
from exchange.infra.http.security import API_PREFIX
from exchange.web.areas import API, AREAS, EVERYTHING, PAGES, Area
from exchange.web.door import Door
from tests.unit.exchange_http.test_door import Exchange, echo, length, signed

OF_THE_API = ["/api/v1/orders", "/api/v1/time", "/api/v1/nothing", "/api/v1/"]
OF_THE_PAGES = ["/", "/login", "/trade/BTC-USDT", "/admin/", "/static/takas/page.css", "/nothing",
                "/api/schema", "/api/docs", "/api/v1", "//api/v1/orders", "/x/../api/v1/orders",
                "/metrics", "/ws"]  # fmt: skip
PROBES = ["/livez", "/readyz"]


def test_the_setting_takes_the_names_of_the_areas() -> None:
    assert tuple(AREAS) == WEB_AREAS
    assert len({area.role for area in AREAS.values()}) == len(AREAS)


@pytest.mark.parametrize("path", [*OF_THE_API, *OF_THE_PAGES, *PROBES])
def test_a_path_is_served_by_one_of_two_processes_and_a_probe_by_each(path: str) -> None:
    assert EVERYTHING.serves(path)
    assert API.serves(path) is (path not in OF_THE_PAGES)
    assert PAGES.serves(path) is (path not in OF_THE_API)


@pytest.mark.asyncio
@pytest.mark.parametrize(("area", "path"), [(API, "/admin/"), (PAGES, "/api/v1/orders")])
async def test_a_misdirected_request_is_refused_before_its_body_is_read(
    area: Area, path: str
) -> None:
    door = Door(echo, threads=1, area=area)
    one = Exchange("POST", path.encode(), [*signed(), length(5)], [b"12345"])
    await one.through(door)
    assert one.refused_as(421, Code.REQUEST_MISDIRECTED)
    assert one.body["params"] == {"serves": area.name}
    assert one.asked == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("area", [API, PAGES])
async def test_a_path_is_judged_as_it_is_read_however_it_is_spelled(area: Area) -> None:
    """A front decodes `%61` before it chooses; so does the door."""
    one = await Exchange("GET", b"/%61pi/v1/time").through(Door(echo, threads=1, area=area))
    assert one.status == (200 if area is API else 421)


def addresses(patterns: Any, prefix: str = "/") -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        inner = [] if isinstance(pattern, URLPattern) else pattern.url_patterns
        found |= {path} if isinstance(pattern, URLPattern) else addresses(inner, path)
    return found


def test_each_address_is_routed_in_one_area() -> None:
    everything, api, pages = (addresses(patterns_of(area)) for area in AREAS.values())
    assert api | pages == everything
    assert api & pages == set()
    assert all(path.startswith(API_PREFIX) for path in api)
    assert not any(path.startswith(API_PREFIX) for path in pages)
    assert any(re.match("/admin/", path) for path in pages)
