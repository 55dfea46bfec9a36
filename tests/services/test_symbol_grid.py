"""A symbol's grid: it never moves under its orders, whoever writes: form, ORM or SQL."""

from decimal import Decimal

import psycopg
import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from exchange.domain.enums import Side, SymbolState
from exchange.models import Asset, Symbol
from matching.worker.ports import LeaseLost
from tests.factories.market import Market
from tests.factories.models import AssetFactory
from tests.factories.worker import Surroundings

pytestmark = pytest.mark.django_db(transaction=True)

GRID = {
    "tick": Decimal("0.1"),
    "lot": Decimal("0.01"),
    "partition_id": 7,
    "base": "quote",
}


def state_set(market: Market, state: SymbolState) -> None:
    Symbol.objects.filter(pk=market.symbol_id).update(state=state)


def is_refused(market: Market, name: str) -> bool:
    """Whether the change is refused; by the model and by the database alike."""
    symbol = Symbol.objects.get(pk=market.symbol_id)
    value = symbol.quote if GRID[name] == "quote" else GRID[name]
    setattr(symbol, name, value)
    if name == "base":  # the model has more to say about that one
        by_model = True
    else:
        try:
            symbol.clean()
            by_model = False
        except ValidationError:
            by_model = True
    try:
        with transaction.atomic():
            Symbol.objects.filter(pk=market.symbol_id).update(**{name: value})
            transaction.set_rollback(True)
        by_database = False
    except IntegrityError as error:
        by_database = "grid is fixed" in str(error)
    assert by_model == by_database or name == "base"
    return by_database


@pytest.mark.parametrize("name", GRID)
def test_the_grid_is_fixed_by_live_orders_and_by_trades(
    around: Surroundings, market: Market, db: psycopg.Connection, name: str
) -> None:
    state_set(market, SymbolState.HALT)
    assert not is_refused(market, name), "nothing stands on it yet"
    state_set(market, SymbolState.OPEN)
    assert is_refused(market, name), "orders may be on their way"
    market.place(db, 0, Side.SELL, 5, 100)
    state_set(market, SymbolState.HALT)
    assert is_refused(market, name), "an order that the engine has not seen yet"
    state_set(market, SymbolState.OPEN)
    market.place(db, 1, Side.BUY, 5, 100)
    around.deliver()
    around.start().run()
    db.execute("DELETE FROM wallets_reservation WHERE symbol_id = %s", (market.symbol_id,))
    state_set(market, SymbolState.HALT)
    assert is_refused(market, name), "a trade"
    with pytest.raises(IntegrityError, match="live orders or trades"):
        Symbol.objects.filter(pk=market.symbol_id).delete()


def test_what_is_not_the_grid_can_change_at_any_time(
    market: Market, db: psycopg.Connection
) -> None:
    market.place(db, 0, Side.SELL, 5, 100)
    symbol = Symbol.objects.get(pk=market.symbol_id)
    symbol.band_ppm, symbol.position = 1_000, 3
    symbol.clean()
    symbol.save()
    symbol.refresh_from_db()
    assert (symbol.band_ppm, symbol.position) == (1_000, 3)


def test_a_worker_that_remembers_the_old_grid_is_replaced(
    around: Surroundings, market: Market, db: psycopg.Connection
) -> None:
    first = around.start("first")
    first.run()
    state_set(market, SymbolState.HALT)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE exchange_symbol SET tick = 0.1 WHERE id = %s", (market.symbol_id,))
    state_set(market, SymbolState.OPEN)
    market.place(db, 0, Side.SELL, 5, 100)
    around.deliver()
    with pytest.raises(LeaseLost):
        first.run()
    second = around.start("second")
    assert second.loaded.units[market.symbol_id].tick == Decimal("0.1")


def test_the_scale_of_an_asset_that_is_held_is_fixed(market: Market) -> None:
    with pytest.raises(IntegrityError, match="scale is fixed"):
        Asset.objects.filter(pk=market.base_id).update(scale=4)
    idle = AssetFactory.create(code="IDLE", name="idle", scale=8)
    idle.scale = 4
    idle.save()
