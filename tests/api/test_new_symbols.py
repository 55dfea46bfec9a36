"""A symbol that is newer than this process's copy of the catalogue."""

from collections.abc import Callable

import pytest

from exchange import selectors
from exchange.access import principals
from exchange.infra import event_loop
from exchange.infra.copies import Copy
from exchange.selectors import Catalogue, catalogue_read
from orders.models import Command
from tests.factories.models import SymbolFactory
from tests.factories.trading import Trader, decoded

NEW = "ETH-USDT"
Forget = Callable[[], None]


@pytest.fixture
def symbol_forget(ada: Trader, monkeypatch: pytest.MonkeyPatch) -> Forget:
    """Make this process's copy as old as from before NEW."""
    older = catalogue_read()
    SymbolFactory.create(code=NEW)

    def forget() -> None:
        readings: list[Catalogue] = [older]
        copy = Copy(lambda: readings.pop() if readings else catalogue_read(), age_max_s=60)
        copy.get()
        monkeypatch.setattr(selectors, "catalogue_copy", copy)

    return forget


def test_its_orders_can_be_seen_and_amended_and_cancelled(
    ada: Trader, symbol_forget: Forget
) -> None:
    order_id = decoded(ada.place(symbol=NEW))["id"]
    symbol_forget()
    assert ada.cancel(order_id).status_code == 202
    symbol_forget()
    assert ada.send("DELETE", "/orders").status_code == 202
    symbol_forget()
    assert ada.send("POST", "/orders/cancel-after", {"timeout_ms": 5_000}).status_code == 202
    other_id = decoded(ada.place(symbol=NEW))["id"]
    symbol_forget()
    assert ada.amend(other_id, price="99").status_code == 202


def test_a_cancel_that_stands_is_not_said_to_be_refused(
    ada: Trader, symbol_forget: Forget, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(principals, "PRINCIPAL_AGE_MAX_S", 60.0)
    order_id = decoded(ada.place(symbol=NEW))["id"]
    symbol_forget()
    monkeypatch.setattr(event_loop.lookups(), "waiting_max", 0)
    response = ada.cancel(order_id)
    assert Command.objects.filter(kind="cancel").count() == 1
    if way == "loop":  # where the symbol would have to be read, and there is no room
        assert decoded(response)["code"] == "engine.outcome_unknown"
    else:
        assert response.status_code == 202
