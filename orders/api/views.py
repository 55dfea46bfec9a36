"""Orders over HTTP: a view parses, asks one service or selector, and answers.

The views are coroutines that answer on the event loop and in a thread (exchange/api/resources.py),
because they carry nearly all requests. Their documented contract stands in orders/api/schema.py.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, ParamSpec, TypeVar

import msgspec
from django.http import HttpRequest

from exchange.api.answers import Answer, json_answer
from exchange.api.keys import authenticated, owner_of
from exchange.api.pagination import cursor_read, page_of
from exchange.api.requests import body_decode, limit_of, order_id_of, time_ms_of
from exchange.api.resources import Resource
from exchange.domain.codes import Code
from exchange.domain.enums import OrderStatus, Scope
from exchange.domain.errors import DomainError
from exchange.infra.lookups import here_or_thread, read
from exchange.selectors import symbol_by_id, symbol_known
from orders.api.commands import commands_json
from orders.api.refusals import RefusalRecord
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

P = ParamSpec("P")
R = TypeVar("R")

_place_decoder: Final = msgspec.json.Decoder(OrderRequest)
_amend_decoder: Final = msgspec.json.Decoder(AmendRequest)
_REPLAYED: Final = {"Idempotent-Replayed": "true"}
_OWN_KEY: Final = "own"


async def place(request: HttpRequest) -> Answer:
    """Answer POST /orders."""
    principal = await authenticated(request, Scope.TRADE)
    with RefusalRecord(principal, "order") as summary:
        wanted = body_decode(request, _place_decoder)
        summary.symbol = wanted.symbol
        placed = await services.order_place(principal, wanted)
    body = selectors.order_json(placed.order, placed.symbol)
    if placed.is_replay:
        return json_answer(body, 200, _REPLAYED)
    return json_answer(body, 201)


async def orders_list(request: HttpRequest) -> Answer:
    """Answer GET /orders."""
    principal = await authenticated(request, Scope.READ)
    return json_answer(await read(owner_of(principal), _page, request, principal.account_id))


def _page(request: HttpRequest, account_id: int) -> dict[str, Any]:
    limit = limit_of(request, default=selectors.LIMIT_DEFAULT, maximum=selectors.LIMIT_MAX)
    scope = f"orders:{account_id}"
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
        limit=limit + 1,
    )
    found = selectors.orders_of_account(account_id, wanted)
    rows, following = page_of(found, limit=limit, scope=scope, last_id=itemgetter("id"))
    return {"items": [selectors.order_json(row) for row in rows], "next": following}


def _statuses(words: Sequence[str]) -> frozenset[OrderStatus] | None:
    """Return all statuses that the words name together; None without a word: any status."""
    if not words:
        return None
    known = selectors.STATUS_WORDS
    if any(word not in known for word in words):
        rule = f"one of {', '.join(known)}"
        raise DomainError(Code.REQUEST_FIELD_INVALID, field="status", rule=rule)
    return frozenset().union(*(known[word] for word in words))


async def cancel_all(request: HttpRequest) -> Answer:
    """Answer DELETE /orders."""
    principal = await authenticated(request, Scope.TRADE)
    key = request.GET.get("key")
    if key not in (None, _OWN_KEY):
        raise DomainError(Code.REQUEST_FIELD_INVALID, field="key", rule=f"only {_OWN_KEY}")
    commands = await services.orders_cancel_all(
        principal,
        symbol=request.GET.get("symbol"),
        side=request.GET.get("side"),
        own_key=key is not None,
    )
    return json_answer(commands_json(commands), 202)


async def detail(request: HttpRequest, order_id: str) -> Answer:
    """Answer GET /orders/{id}."""
    principal = await authenticated(request, Scope.READ)
    asked_id = order_id_of(order_id)
    return json_answer(await read(owner_of(principal), detail_json, asked_id, principal.account_id))


def detail_json(order_id: int, account_id: int) -> dict[str, Any]:
    """Return the JSON of an order with its fills. Raises order.not_found."""
    found = order_detail(order_id=order_id, account_id=account_id)
    order, amend = found.order, found.last_amend
    return {
        **selectors.order_json(order),
        "last_amend": None if amend is None else command_json(amend, order["symbol"]),
        "fills": _fills_json(found),
        "fills_total": found.fills_total,
        "fills_next": next_fills(found),
    }


async def fills(request: HttpRequest, order_id: str) -> Answer:
    """Answer GET /orders/{id}/fills."""
    principal = await authenticated(request, Scope.READ)
    return json_answer(
        await read(owner_of(principal), _fills, request, order_id, principal.account_id)
    )


def _fills(request: HttpRequest, order_id: str, account_id: int) -> dict[str, Any]:
    asked_id = order_id_of(order_id)
    found = order_detail(
        order_id=asked_id,
        account_id=account_id,
        after=cursor_read(request.GET.get("cursor"), scope=fills_scope(asked_id)) or 0,
        limit=limit_of(request, default=FILLS_DEFAULT, maximum=FILLS_MAX),
    )
    return {"items": _fills_json(found), "total": found.fills_total, "next": next_fills(found)}


def _fills_json(found: OrderDetail) -> list[dict[str, Any]]:
    units = symbol_by_id(found.order["symbol_id"]).units
    return [fill_json(row, units) for row in found.fills]


async def cancel(request: HttpRequest, order_id: str) -> Answer:
    """Answer DELETE /orders/{id}."""
    principal = await authenticated(request, Scope.TRADE)
    return await sent_answer(await services.order_cancel(principal, order_id=order_id_of(order_id)))


async def amend(request: HttpRequest, order_id: str) -> Answer:
    """Answer PATCH /orders/{id}."""
    principal = await authenticated(request, Scope.TRADE)
    with RefusalRecord(principal, "amend") as summary:
        summary.order_id = order_id_of(order_id)
        wanted = body_decode(request, _amend_decoder)
        sent = await order_amend(principal, order_id=summary.order_id, request=wanted)
    return await sent_answer(sent)


async def sent_answer(sent: services.UnderWay) -> Answer:
    """Return the answer of a durable command; the order's symbol may have to be read first."""
    return json_answer(await after_commit(under_way_json, sent), 202)


async def after_commit(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `work` here or in a thread, for an answer about what is durable already.

    Raises engine.outcome_unknown where no thread is free: nobody may read that nothing was done.
    """
    try:
        return await here_or_thread(work, *args, **kwargs)
    except DomainError as busy:
        raise DomainError(Code.ENGINE_OUTCOME_UNKNOWN) from busy


def under_way_json(sent: services.UnderWay) -> dict[str, Any]:
    """Return the JSON of an order whose command is still on its way to the engine."""
    symbol = symbol_by_id(sent.order["symbol_id"]).units.code
    return {**selectors.order_json(sent.order, symbol), "command_id": str(sent.command_id)}


ORDERS: Final = Resource(
    "orders",
    "api-orders",
    {"GET": orders_list, "POST": place, "DELETE": cancel_all},
    OrdersDocumentation,
)
ORDER: Final = Resource(
    "orders/<str:order_id>",
    "api-order",
    {"GET": detail, "DELETE": cancel, "PATCH": amend},
    OrderDocumentation,
)
FILLS: Final = Resource(
    "orders/<str:order_id>/fills", "api-order-fills", {"GET": fills}, OrderFillsDocumentation
)
