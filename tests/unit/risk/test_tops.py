"""risk.pretrade.selectors while Redis is away: nobody waits for it again and again."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from exchange.infra.redis import KeyReader
from risk.pretrade import selectors
from risk.pretrade.selectors import TopUnavailable, top_of_book, tops_forget

SYMBOL = "BTC-USDT"


class Silent(redis.Redis):
    """A server that is asked and does not answer."""

    asked = 0

    def get(self, name: Any) -> Any:
        self.asked += 1
        raise redis.TimeoutError


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Silent]:
    client = Silent()
    tops_forget()
    monkeypatch.setattr("exchange.infra.redis.PAUSE_AFTER_FAILURE_S", 60.0)
    monkeypatch.setattr(selectors, "reader", KeyReader(lambda: client))
    yield client
    tops_forget()


def test_after_a_failure_nobody_asks_for_a_while(silent: Silent) -> None:
    for symbol in (SYMBOL, SYMBOL, "ETH-USDT"):
        with pytest.raises(TopUnavailable):
            top_of_book(symbol)
    assert silent.asked == 1
    tops_forget()
    with pytest.raises(TopUnavailable):
        top_of_book(SYMBOL)
    assert silent.asked == 2


def test_a_loop_needs_no_thread_to_know_it(silent: Silent) -> None:
    with pytest.raises(TopUnavailable):
        top_of_book(SYMBOL)

    async def ask() -> None:
        top_of_book(SYMBOL)

    with pytest.raises(TopUnavailable):
        asyncio.run(ask())
