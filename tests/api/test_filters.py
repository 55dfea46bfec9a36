"""Parameters of the list routes: each refuses a wrong value with a documented answer."""

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from tests.factories.trading import Trader, decoded

INVALID = "request.field_invalid"
PAGING = {
    "limit": ["0", "501", "-1", "1.5", "x", "", "\uff19", "1" * 30],
    "cursor": ["x", "", "é", "A" * 27, "=" * 8, "\x00"],
}
TIMES = ["x", "", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "1" * 15, "-5"]
CODES = ["", "btc-usdt", "NO-PE", "é" * 40]

# route -> parameter -> (bad values, the answer's code)
ROUTES: dict[str, dict[str, tuple[list[str], str]]] = {
    "/orders": {
        "symbol": (CODES, "symbol.unknown"),
        "status": (["", "OPEN", "done", "open,filled"], INVALID),
        "from": (TIMES, INVALID),
        "to": (TIMES, INVALID),
        "client_order_id": (["", "a b", "x" * 65, "é", "\x00"], INVALID),
    },
    "/order-lists": {},
    "/prevented-matches": {
        "symbol": (CODES, "symbol.unknown"),
        "order_id": (["", "x", "-1", "9" * 19, "9" * 40], INVALID),
    },
    "/trades?symbol=BTC-USDT": {},
}
CASES = [
    (route, name, value, code)
    for route, parameters in ROUTES.items()
    for name, (values, code) in {
        **parameters,
        **{name: (values, INVALID) for name, values in PAGING.items()},
    }.items()
    for value in values
]


@pytest.fixture(scope="module")
def documented() -> dict[str, set[int]]:
    """The statuses that each route's GET documents."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return {
        path.removeprefix("/api/v1"): {int(status) for status in methods["get"]["responses"]}
        for path, methods in paths.items()
        if "get" in methods
    }


def with_parameter(route: str, name: str, value: str) -> str:
    from urllib.parse import quote

    return f"{route}{'&' if '?' in route else '?'}{name}={quote(value)}"


def test_bad_values_get_a_documented_answer_that_names_the_field(
    ada: Trader, documented: dict[str, set[int]]
) -> None:
    wrong: list[Any] = []
    for route, name, value, code in CASES:
        response = ada.get(with_parameter(route, name, value))
        body = decoded(response)
        shown = (response.status_code, body.get("code"), body["errors"][0]["field"])
        if shown != (404 if code == "symbol.unknown" else 400, code, name):
            wrong.append((route, name, value, shown))
        assert response.status_code in documented[route.partition("?")[0]]
    assert wrong == []


def test_the_fills_of_an_order_are_paged_like_any_list(
    ada: Trader, documented: dict[str, set[int]]
) -> None:
    order_id = decoded(ada.place())["id"]
    for name, values in PAGING.items():
        for value in [one for one in values if one != "501"]:  # there may be more of them
            response = ada.get(with_parameter(f"/orders/{order_id}/fills", name, value))
            assert (response.status_code, decoded(response)["code"]) == (400, INVALID), value
            assert response.status_code in documented["/orders/{order_id}/fills"]


@pytest.mark.parametrize(
    "path", [*ROUTES, "/orders/1", "/orders/1/fills", "/commands/1", "/depth?symbol=BTC-USDT"]
)
def test_unknown_parameters_are_refused_by_name(ada: Trader, path: str) -> None:
    response = ada.get(with_parameter(path, "symbl", "BTC-USDT"))
    body = decoded(response)
    assert (response.status_code, body["code"]) == (400, "request.field_unknown")
    assert body["errors"][0]["field"] == "symbl"


def test_every_list_route_is_walked(documented: dict[str, set[int]]) -> None:
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    paged = {
        path.removeprefix("/api/v1")
        for path, methods in paths.items()
        if any(one["name"] == "cursor" for one in methods.get("get", {}).get("parameters", ()))
    }
    assert paged == {route.partition("?")[0] for route in ROUTES} | {"/orders/{order_id}/fills"}
