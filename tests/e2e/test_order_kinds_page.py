"""The trading page's order kinds in a browser: orders that wait, icebergs, pairs."""

from collections.abc import Iterator

import pytest

from tests.e2e.browser import Page
from tests.e2e.test_trading_page import cancel_all, place, wait_price


@pytest.fixture(autouse=True)
def nothing_open(ada: Page, boris: Page) -> Iterator[None]:
    yield
    for page in (ada, boris):
        if page.text("open-count") != "0":
            cancel_all(page)


def trade_at(buyer: Page, seller: Page, price: str, quantity: str = "0.001") -> None:
    """Make that price the last one."""
    place(buyer, "buy", quantity, price)
    wait_price(seller, "bid-0", f"{price}.00")
    place(seller, "sell", quantity, price)
    wait_price(buyer, "bid-0", "")


def test_a_stop_waits_outside_the_book_and_trades_when_its_price_comes(
    ada: Page, boris: Page
) -> None:
    trade_at(boris, ada, "64000")
    ada.click("side-sell")
    ada.click("type-stop")
    ada.fill("stop-type", "stop_market")
    ada.fill("stop-price", "63000")
    ada.fill("quantity", "0.01")
    ada.click("submit")
    ada.wait_text("open-orders", "waiting")
    ada.wait_text("open-orders", "trigger 63\u202f000.00")
    assert ada.text("ask-0").strip() == ""

    place(boris, "buy", "0.001", "63000")
    place(boris, "buy", "0.01", "62990")
    wait_price(ada, "bid-1", "62990.00")
    place(ada, "sell", "0.001", "63000")
    ada.wait_text("toasts", "Filled: Sell 0.01 BTC at market, stop 63000")
    ada.wait_text("open-count", "0")


def test_one_order_of_a_pair_cancels_the_other(ada: Page, boris: Page) -> None:
    trade_at(boris, ada, "64000")
    ada.click("side-sell")
    ada.click("type-oco")
    ada.fill("price", "65000")
    ada.fill("stop-price", "63000")
    ada.fill("quantity", "0.01")
    ada.click("submit")
    ada.wait_text("open-count", "2")
    ada.wait_text("reserved-BTC", "0.01")

    place(boris, "buy", "0.01", "65000")
    ada.wait_text("open-count", "0")
    ada.wait_text("recent-orders", "The other order of the list traded.")
    ada.wait_text("reserved-BTC", "0.00")


def test_an_iceberg_shows_only_its_slice(ada: Page, boris: Page) -> None:
    ada.click("side-sell")
    ada.click("type-limit")
    ada.fill("price", "66000")
    ada.fill("quantity", "0.05")
    ada.fill("display-quantity", "0.01")
    ada.click("submit")
    wait_price(boris, "ask-0", "66000.00")
    quantity = "document.querySelector('[data-testid=\"ask-0\"] .quantity').textContent"
    assert str(boris.run(quantity)).startswith("0.01")
    ada.wait_text("open-orders", "iceberg")
    ada.fill("display-quantity", "")


def test_a_form_that_lacks_something_says_what(ada: Page) -> None:
    ada.click("type-stop")
    ada.fill("stop-type", "trailing_stop")
    ada.fill("quantity", "0.01")
    ada.click("submit")
    ada.wait_text("form-error", "The distance is missing")
    ada.fill("trail", "0.005")
    ada.click("submit")
    ada.wait_text("form-error", "0.01 to 99.99 percent")
    assert ada.text("open-count") == "0"
