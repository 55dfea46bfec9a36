"""risk.limits.open_orders: an account's own limit goes before everyone's."""

from collections.abc import Iterator

import pytest

from exchange.models import Symbol
from exchange.selectors import symbol_rules
from risk.limits.open_orders import open_orders_max_of, order_limits_forget
from risk.models import OrderLimit
from tests.factories.models import AccountFactory, SymbolFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    order_limits_forget()
    yield
    order_limits_forget()


def limit(symbol: Symbol, open_orders_max: int) -> int:
    """Give a fresh user a limit; return the account."""
    user = UserFactory.create()
    OrderLimit.objects.create(
        user=user, symbol=symbol, open_orders_max=open_orders_max, stop_orders_max=1
    )
    return AccountFactory.create(user=user).pk


@pytest.mark.parametrize("own", [0, 5, 500])
def test_an_accounts_own_limit_goes_before_everyones(own: int) -> None:
    symbol, other = (
        SymbolFactory.create(code="BTC-USDT", open_orders_max=200),
        SymbolFactory.create(code="ETH-USDT"),
    )
    rules, elsewhere = symbol_rules(symbol), symbol_rules(other)
    account_id = limit(symbol, own)
    assert open_orders_max_of(account_id, rules) == own
    assert open_orders_max_of(account_id + 1, rules) == rules.open_orders_max
    assert open_orders_max_of(account_id, elsewhere) == elsewhere.open_orders_max


def test_limits_are_read_once_and_kept(django_assert_num_queries: object) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    rules = symbol_rules(symbol)
    account_id = limit(symbol, 5)
    assert callable(django_assert_num_queries)
    with django_assert_num_queries(1):
        for _ in range(100):
            assert open_orders_max_of(account_id, rules) == 5
