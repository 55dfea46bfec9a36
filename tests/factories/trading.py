"""Traders that speak HTTP: a user with an account, funds and a signed API key."""

import functools
import hashlib
import hmac
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import redis
from django.http import HttpResponse
from django.test import Client
from redis.backoff import NoBackoff
from redis.retry import Retry

from exchange.access.principals import principals_forget
from exchange.api.keys import api_key_create
from exchange.api.strangers import strangers
from exchange.infra.redis import redis_client
from exchange.models import Asset, Tier, User
from exchange.selectors import catalogue_forget
from orders.intake.process import intake_stop
from orders.reads.look_ups import order_look_ups
from orders.recovery.availability import served_forget
from risk.limits.open_orders import order_limits_forget
from risk.pretrade.selectors import tops_forget
from tests.factories.models import AccountFactory, TierFactory, UserFactory, funds_give
from wallets.models import Balance

_numbers = itertools.count(1)
JSON = "application/json"
# What an order's own address shows besides the order, of a new one.
NOTHING_YET: dict[str, Any] = {
    "fills": [],
    "fills_total": 0,
    "fills_next": None,
    "last_amend": None,
}


@dataclass(slots=True)
class Trader:
    """One user, and requests signed with one of their keys."""

    user: User
    account_id: int
    key: str
    secret: str
    client: Client = field(default_factory=lambda: Client())

    def headers(
        self, method: str, path: str, body: bytes, *, age_ms: int = 0, window: str = ""
    ) -> dict[str, str]:
        timestamp = str(time.time_ns() // 1_000_000 - age_ms)
        text = f"{timestamp}\n{method}\n{path}\n{hashlib.sha256(body).hexdigest()}"
        signature = hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        headers = {
            "X-Takas-Key": self.key,
            "X-Takas-Timestamp": timestamp,
            "X-Takas-Signature": signature,
        }
        return {**headers, "X-Takas-Window": window} if window else headers

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = JSON,
        age_ms: int = 0,
        window: str = "",
    ) -> HttpResponse:
        """Send a signed request; a body that is not bytes goes as JSON."""
        data = b"" if body is None else body if isinstance(body, bytes) else encode(body)
        full = f"/api/v1{path}"
        # Two equal requests in one millisecond would have one signature, which is a replay.
        time.sleep(0.0011)
        return self.client.generic(
            method,
            full,
            data,
            content_type,
            headers=self.headers(method, full, data, age_ms=age_ms, window=window),
        )

    def get(self, path: str) -> HttpResponse:
        return self.send("GET", path)

    def place(self, **changes: Any) -> HttpResponse:
        """Place an order that is valid but for the changes; None leaves a field out."""
        return self.send("POST", "/orders", order_body(**changes))

    def cancel(self, order_id: str) -> HttpResponse:
        return self.send("DELETE", f"/orders/{order_id}")

    def amend(self, order_id: str, **terms: Any) -> HttpResponse:
        return self.send("PATCH", f"/orders/{order_id}", terms)

    def balance(self, asset: str) -> tuple[Decimal, Decimal]:
        """(available, reserved), straight from the table."""
        return Balance.objects.values_list("available", "reserved").get(
            account_id=self.account_id, asset__code=asset
        )


def encode(body: object) -> bytes:
    return msgspec.json.encode(body)


def decoded(response: HttpResponse) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(response.content)
    return body


def order_body(**changes: Any) -> dict[str, Any]:
    """A limit buy of 1 at 100 on BTC-USDT, under a fresh client order id."""
    body: dict[str, Any] = {
        "symbol": "BTC-USDT",
        "side": "buy",
        "type": "limit",
        "price": "100",
        "quantity": "1",
        "client_order_id": f"order-{next(_numbers)}",
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def trader_make(
    name: str,
    *,
    funds: Mapping[str, int] | None = None,
    tier: Tier | None = None,
    can_trade: bool = True,
) -> Trader:
    """A user with an account, these funds and a key."""
    user = UserFactory.create(username=name, tier=tier)
    account = AccountFactory.create(user=user)
    for code, amount in (funds if funds is not None else {"USDT": 100_000, "BTC": 100}).items():
        funds_give(account.pk, Asset.objects.get(code=code).pk, amount)
    key, secret = api_key_create(user_id=user.pk, label="test", can_trade=can_trade)
    return Trader(user, account.pk, key.key_id, secret)


def fast_tier() -> Tier:
    """A tier without an order-rate limit."""
    return TierFactory.create(fast=True)


def redis_away() -> redis.Redis:
    """A client of a server that is not there (port 1 is nobody's), as ours are: without retries."""
    return redis.Redis(port=1, retry=Retry(NoBackoff(), 0))


@functools.cache
def middlewares_load() -> None:
    """Load the middlewares once before threads do: their metrics register themselves unguarded."""
    Client().handler.load_middleware()


def process_begin() -> None:
    """Forget what this process keeps, and what Redis does."""
    middlewares_load()
    redis_client().flushall()
    catalogue_forget()
    order_limits_forget()
    principals_forget()
    strangers.forget()
    tops_forget()
    served_forget()


def process_end() -> None:
    """Stop this process's intake thread, and close the connections of its hot paths."""
    intake_stop()
    order_look_ups.close()
