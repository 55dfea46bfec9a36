"""GET /symbols: the market's state and the rules that the engine goes by."""

from collections.abc import Iterator

import pytest
from django.test import Client

from exchange.domain.enums import SymbolState
from exchange.selectors import catalogue_forget
from tests.factories.models import SymbolFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    catalogue_forget()
    yield
    catalogue_forget()


def symbols(client: Client) -> list[dict[str, object]]:
    items: list[dict[str, object]] = client.get("/api/v1/symbols").json()["items"]
    return items


def test_a_symbol_tells_its_band_interruptions_and_limits(client: Client) -> None:
    rules = {
        "band_ppm": 50_000,
        "band_both_sides": True,
        "band_move_ppm": 20_000,
        "band_move_after_s": 45,
        "interruption_limit_s": 15,
        "interruption_pause_s": 120,
        "interruption_auction_s": 30,
        "open_orders_max": 100,
        "stop_orders_max": 20,
    }
    SymbolFactory.create(code="BTC-USDT", **rules)
    [shown] = symbols(client)
    assert {name: shown[name] for name in rules} == rules


@pytest.mark.parametrize("state", list(SymbolState))
def test_a_symbol_tells_its_state_in_one_word(client: Client, state: SymbolState) -> None:
    SymbolFactory.create(code="BTC-USDT", state=state)
    assert symbols(client)[0]["state"] == state.value
