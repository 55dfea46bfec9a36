"""Orders over HTTP: a view parses, asks one service or selector, and answers.

They are plain Django views with msgspec, because they carry nearly all requests. Their documented
contract stands in orders/api/schema.py.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from exchange.api.base import documented_by
from exchange.api.errors import api_view, json_response, loop_view
from exchange.api.keys import authenticate, authenticate_on_loop
from exchange.api.pagination import cursor_make, cursor_read
from exchange.api.requests import body_decode, limit_of, order_id_of, time_ms_of
from exchange.domain.codes import Code
from exchange.domain.enums import OrderStatus, Scope
from exchange.domain.errors import DomainError
from exchange.infra.event_loop import here_or_thread
from exchange.selectors import symbol_by_id, symbol_known
from orders.api.commands import commands_json
from orders.api.refusals import refusals_recorded
from orders.api.schema import OrderDocumentation, OrderFillsDocumentation, OrdersDocumentation
from orders.reads import orders as selectors
from orders.reads.commands import command_json
from orders.reads.detail import (
    FILLS_DEFAULT,
    FILLS_MAX,
    OrderDetail,
    fill_json,
    fills_scope,
    next_fills,
    order_detail,
)
from orders.validation.orders import is_client_order_id
from orders.validation.requests import AmendRequest, OrderRequest
from orders.writes import orders as services
from orders.writes.amends import order_amend

_place_decoder: Final = msgspec.json.Decoder(OrderRequest)
_amend_decoder: Final = msgspec.json.Decoder(AmendRequest)
_REPLAYED: Final = {"Idempotent-Replayed": "true"}
_OWN_KEY: Final = "own"


@documented_by(OrdersDocumentation)
@api_view(("GET", "POST", "DELETE"))
def orders(request: HttpRequest) -> HttpResponseBase:
    return _ORDERS[request.method or ""](request)


@documented_by(OrderDocumentation)
@api_view(("GET", "DELETE", "PATCH"))
def order(request: HttpRequest, order_id: str) -> HttpResponseBase:
    return _ORDER[request.method or ""](request, order_id)


def _place(request: HttpRequest) -> HttpResponse:
    principal = authenticate(request, Scope.TRADE)
    with refusals_recorded(principal, "order") as summary:
        wanted = body_decode(request, _place_decoder)
        summary.symbol = wanted.symbol
        placed = services.order_place(principal, wanted)
    return _placed(placed)


@loop_view
async def place_on_loop(request: HttpRequest) -> HttpResponse:
    """POST /orders on an event loop (exchange/web/on_loop.py)."""
    principal = await authenticate_on_loop(request, Scope.TRADE)
    with refusals_recorded(principal, "order") as summary:
        wanted = body_decode(request, _place_decoder)
        summary.symbol = wanted.symbol
        placed = await services.order_place_on_loop(principal, wanted)
    return _placed(placed)


def _placed(placed: services.Placed) -> HttpResponse:
    body = selectors.order_json(placed.order, placed.symbol)
    if placed.is_replay:
        return json_response(body, 200, _REPLAYED)
    return json_response(body, 201)


def _list(request: HttpRequest) -> HttpResponse:
    principal = authenticate(request, Scope.READ)
    limit = limit_of(request, default=selectors.LIMIT_DEFAULT, maximum=selectors.LIMIT_MAX)
    scope = f"orders:{principal.account_id}"
    symbol = request.GET.get("symbol")
    client_order_id = request.GET.get("client_order_id")
    if client_order_id is not None and not is_client_order_id(client_order_id):
        rule = "1 to 64 of A-Z a-z 0-9 . _ : -"
        raise DomainError(Code.REQUEST_FIELD_INVALID, field="client_order_id", rule=rule)
    wanted = selectors.OrderFilter(
        symbol_id=symbol_known(symbol).units.symbol_id if symbol is not None else None,
        statuses=_statuses(request.GET.getlist("status")),
        client_order_id=client_order_id,
        from_ms=time_ms_of(request, "from"),
        to_ms=time_ms_of(request, "to"),
        before_id=cursor_read(request.GET.get("cursor"), scope=scope),
        limit=limit + 1,  # one more tells whether there is a next page
    )
    rows = selectors.orders_of_account(principal.account_id, wanted)
    more = len(rows) > limit
    rows = rows[:limit]
    return json_response(
        {
            "items": [selectors.order_json(row) for row in rows],
            "next": cursor_make(rows[-1]["id"], scope=scope) if more else None,
        }
    )


def _statuses(words: Sequence[str]) -> frozenset[OrderStatus] | None:
    """Return all statuses that the words name together; None without a word: any status."""
    if not words:
        return None
    known = selectors.STATUS_WORDS
    if any(word not in known for word in words):
        rule = f"one of {', '.join(known)}"
        raise DomainError(Code.REQUEST_FIELD_INVALID, field="status", rule=rule)
    return frozenset().union(*(known[word] for word in words))


def _cancel_all(request: HttpRequest) -> HttpResponse:
    principal = authenticate(request, Scope.TRADE)
    key = request.GET.get("key")
    if key not in (None, _OWN_KEY):
        raise DomainError(Code.REQUEST_FIELD_INVALID, field="key", rule=f"only {_OWN_KEY}")
    commands = services.orders_cancel_all(
        principal,
        symbol=request.GET.get("symbol"),
        side=request.GET.get("side"),
        own_key=key is not None,
    )
    return json_response(commands_json(commands), 202)


def _detail(request: HttpRequest, order_id: str) -> HttpResponse:
    principal = authenticate(request, Scope.READ)
    detail = order_detail(order_id=order_id_of(order_id), account_id=principal.account_id)
    order, amend = detail.order, detail.last_amend
    return json_response(
        {
            **selectors.order_json(order),
            "last_amend": None if amend is None else command_json(amend, order["symbol"]),
            "fills": _fills(detail),
            "fills_total": detail.fills_total,
            "fills_next": next_fills(detail),
        }
    )


def _fills(detail: OrderDetail) -> list[dict[str, Any]]:
    units = symbol_by_id(detail.order["symbol_id"]).units
    return [fill_json(row, units) for row in detail.fills]


@documented_by(OrderFillsDocumentation)
@api_view(("GET",))
def order_fills(request: HttpRequest, order_id: str) -> HttpResponseBase:
    principal = authenticate(request, Scope.READ)
    asked_id = order_id_of(order_id)
    detail = order_detail(
        order_id=asked_id,
        account_id=principal.account_id,
        after=cursor_read(request.GET.get("cursor"), scope=fills_scope(asked_id)) or 0,
        limit=limit_of(request, default=FILLS_DEFAULT, maximum=FILLS_MAX),
    )
    return json_response(
        {"items": _fills(detail), "total": detail.fills_total, "next": next_fills(detail)}
    )


def _cancel(request: HttpRequest, order_id: str) -> HttpResponse:
    principal = authenticate(request, Scope.TRADE)
    sent = services.order_cancel(principal, order_id=order_id_of(order_id))
    return json_response(_under_way(sent), 202)


@loop_view
async def cancel_on_loop(request: HttpRequest, order_id: str) -> HttpResponse:
    """DELETE /orders/{id} on an event loop."""
    principal = await authenticate_on_loop(request, Scope.TRADE)
    sent = await services.order_cancel_on_loop(principal, order_id=order_id_of(order_id))
    try:
        # The order's symbol may be newer than the catalogue of this process: read in a thread.
        body = await here_or_thread(_under_way, sent)
    except DomainError as busy:  # no thread was free; the cancel stands all the same
        raise DomainError(Code.ENGINE_OUTCOME_UNKNOWN) from busy
    return json_response(body, 202)


def _amend(request: HttpRequest, order_id: str) -> HttpResponse:
    principal = authenticate(request, Scope.TRADE)
    with refusals_recorded(principal, "amend") as summary:
        summary.order_id = order_id_of(order_id)
        wanted = body_decode(request, _amend_decoder)
        sent = order_amend(principal, order_id=summary.order_id, request=wanted)
    return json_response(_under_way(sent), 202)


def _under_way(sent: services.UnderWay) -> dict[str, Any]:
    """Return the JSON of an order whose command is still on its way to the engine."""
    symbol = symbol_by_id(sent.order["symbol_id"]).units.code
    return {**selectors.order_json(sent.order, symbol), "command_id": str(sent.command_id)}


_ORDERS: Final[dict[str, Callable[[HttpRequest], HttpResponse]]] = {
    "GET": _list,
    "POST": _place,
    "DELETE": _cancel_all,
}
_ORDER: Final[dict[str, Callable[[HttpRequest, str], HttpResponse]]] = {
    "GET": _detail,
    "DELETE": _cancel,
    "PATCH": _amend,
}
