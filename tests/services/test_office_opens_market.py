"""A new market opened through pages alone, from its assets to its first settled trade."""

import re
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.test import Client
from django.urls import reverse

from exchange.domain.ids import IdGenerator
from exchange.infra.database import connect
from exchange.models import Asset, Symbol, User
from exchange.selectors import catalogue_forget, symbol_rules
from orders.models import Order, Trade
from orders.settlement.batch import settle_batch
from risk.audit.run import audit_run
from tests.factories.market import Market
from tests.factories.models import SymbolFactory
from tests.factories.trading import process_begin, process_end
from tests.factories.worker import Surroundings, WorkerProcess
from wallets.models import Balance
from wallets.services import user_create

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct-horse-9-battery"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    process_begin()
    yield
    process_end()


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    """An engine that runs already, with a market that is none of ours."""
    symbol = SymbolFactory.create(code="BTC-USDT")
    market = Market(
        partition_id=1,
        rules=symbol_rules(symbol),
        account_ids=[],
        base_id=symbol.base_id,
        quote_id=symbol.quote_id,
        ids=IdGenerator(7, lambda: time.time_ns() // 1_000_000),
    )
    around = Surroundings(market)
    process = around.start()
    process.drain()
    yield process
    around.close()


def shown(field: Any) -> Any:
    """What a browser sends for a field that nobody touches: of a list the first choice."""
    value = field.value()
    choices = list(getattr(field.field, "choices", ())) if value is None else []
    return choices[0][0] if choices else value


class Office:
    """The one superuser, at the pages."""

    def __init__(self) -> None:
        self.client = Client()
        user_create("root", password=PASSWORD, is_superuser=True)
        self.fill("/admin/login/", username="root", password=PASSWORD)

    def fill(self, page: str, **values: Any) -> str:
        """Send a page's form with these values over its own; return where it leads to."""
        before = self.client.get(page)
        form = (
            before.context["adminform"].form
            if "adminform" in before.context
            else (before.context["form"])
        )
        own = {name: shown(form[name]) for name in form.fields}
        body = {name: value for name, value in {**own, **values}.items() if value not in (None, [])}
        answer = self.client.post(page, body)
        assert answer.status_code == 302, re.findall(r"errorlist.*?</ul>", answer.content.decode())
        return str(answer["Location"])

    def act(self, page: str, action: str, *chosen: int) -> str:
        body = {"action": action, "note": "first day", "_selected_action": list(map(str, chosen))}
        return self.client.post(page, body, follow=True).content.decode()

    def asset(self, code: str, scale: int) -> str:
        self.fill(reverse("admin:exchange_asset_add"), code=code, name=code.title(), scale=scale)
        return str(Asset.objects.get(code=code).pk)

    def trader(self, name: str, **funds: str) -> Client:
        """A customer with funds, signed in at the page."""
        self.fill(
            reverse("admin:exchange_user_add"),
            username=name,
            password1=PASSWORD,
            password2=PASSWORD,
            usable_password="true",
        )
        user = User.objects.get(username=name)
        page = reverse("admin:user_funds", args=[user.pk])
        for code, amount in funds.items():
            self.fill(page, direction="credit", asset=code, amount=amount, reason="opening")
        client = Client()
        answer = client.post("/login", {"username": name, "password": PASSWORD})
        assert answer.status_code == 302
        return client


def place(client: Client, **terms: str) -> int:
    body = {"symbol": "GOLD-EUR", "type": "limit", "price": "50.5", "quantity": "2", **terms}
    answer = client.post("/api/v1/orders", msgspec.json.encode(body), "application/json")
    assert answer.status_code == 201, answer.content
    return int(answer.json()["id"])


def funds_of(name: str) -> dict[str, tuple[Decimal, Decimal]]:
    rows = Balance.objects.filter(account__user__username=name)
    return {
        code: (free, held)
        for code, free, held in rows.values_list("asset__code", "available", "reserved")
    }


def test_a_new_market_is_brought_to_trading_without_a_shell(worker: WorkerProcess) -> None:
    office = Office()
    gold, euro = office.asset("GOLD", 4), office.asset("EUR", 2)
    office.fill(
        reverse("admin:exchange_symbol_add"),
        code="GOLD-EUR",
        base=gold,
        quote=euro,
        tick="0.1",
        lot="0.1",
        price_min="0.1",
        price_max="100000",
        quantity_min="0.1",
        quantity_max="1000",
        notional_min="1",
        is_listed="on",
    )
    symbol = Symbol.objects.get(code="GOLD-EUR")
    symbols = reverse("admin:exchange_symbol_changelist")
    assert "on its way to the engine" in office.act(symbols, "pre_open", symbol.pk)
    worker.drain()
    page = reverse("admin:exchange_symbol_change", args=[symbol.pk])
    office.fill(page, band_ppm="100000", slippage_ppm="20000")
    assert "on its way to the engine" in office.act(symbols, "resume", symbol.pk)
    worker.drain()
    symbol.refresh_from_db()
    assert (symbol.state, symbol.band_ppm) == ("open", 100_000)
    catalogue_forget()  # every process reads it anew within seconds

    seller, buyer = office.trader("smith", GOLD="10"), office.trader("ines", EUR="1000")
    sell = place(seller, side="sell", client_order_id="first-sell")
    buy = place(buyer, side="buy", client_order_id="first-buy")
    worker.drain()
    with connect("test") as db:
        while settle_batch(db, 1) is not None:
            pass
        report = audit_run(db, full=True)
    assert report.breaches == []
    trade = Trade.objects.get(symbol_id=symbol.pk)
    assert {trade.maker_order_id, trade.taker_order_id} == {sell, buy}
    assert set(Order.objects.values_list("status", flat=True)) == {"filled"}
    assert funds_of("smith")["GOLD"] == (Decimal(8), Decimal(0))
    assert funds_of("ines")["GOLD"] == (Decimal(2), Decimal(0))
    assert funds_of("smith")["EUR"][0] + funds_of("ines")["EUR"][0] < 1_000, "less the fees"
