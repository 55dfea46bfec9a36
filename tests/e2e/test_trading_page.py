"""What a person does at the trading page, in a real browser, against real processes."""

import json
import random
import time
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext

from risk.selectors import TOP_AGE_MAX_S
from tests.e2e.browser import Page


def place(page: Page, side: str, quantity: str, price: str) -> None:
    page.click(f"side-{side}")
    page.click("type-limit")
    page.fill("price", price)
    page.fill("quantity", quantity)
    page.click("submit")


def first(page: Page, row: str) -> str:
    """The price cell of a book row, without the spaces that group its digits."""
    script = f"document.querySelector('[data-testid=\"{row}\"] .price').textContent"
    return str(page.run(script)).replace("\u2009", "").strip()


def wait_price(page: Page, row: str, price: str) -> None:
    cell = f"document.querySelector('[data-testid=\"{row}\"] .price').textContent"
    page.wait(f"{cell}.replace(/\\s/g, '') === {json.dumps(price)}")


def test_an_orders_life_between_two_people_without_a_reload(ada: Page, boris: Page) -> None:
    ada.run("window.loadedOnce = true")
    had = Decimal(boris.text("available-BTC"))
    place(ada, "sell", "0.1", "64000")
    ada.wait_text("toast-ok", "Accepted: Sell 0.1 BTC at 64000")
    ada.wait_text("open-count", "1")
    wait_price(boris, "ask-0", "64000.00")
    ada.wait_text("reserved-BTC", "0.10")

    ada.click("order-amend")
    ada.fill("amend-price", "64100")
    ada.click("order-save")
    wait_price(boris, "ask-0", "64100.00")

    place(boris, "buy", "0.04", "64100")
    boris.wait_text("toasts", "Filled: Buy 0.04 BTC at 64100")
    ada.wait_text("toasts", "Partly filled")
    boris.wait_text("available-BTC", str(had + Decimal("0.04")))
    ada.wait_text("trade-0", "0.04")
    ada.wait("document.querySelector('[data-testid=last-price]').textContent.includes('100.00')")

    ada.click("order-cancel")
    ada.wait_text("open-count", "0")
    wait_price(boris, "ask-0", "")
    ada.wait_text("reserved-BTC", "0.00")
    ada.wait_text("recent-orders", "cancelled")
    assert ada.run("window.loadedOnce") is True


def test_a_refusal_says_why_and_changes_nothing(ada: Page) -> None:
    place(ada, "buy", "50", "64000")
    ada.wait_text("form-error", "is available")
    assert ada.text("open-count") == "0"


def test_estimates_are_exact_and_include_the_fee(ada: Page) -> None:
    ada.click("side-buy")
    ada.fill("price", "64000.01")
    ada.fill("quantity", "0,00001")
    ada.wait_text("estimate-notional", "0.6400001 USDT")
    ada.wait_text("estimate-total", "0.64064")
    ada.click("side-sell")
    ada.click("percent-50")
    assert Decimal(str(ada.run("document.querySelector('[data-testid=quantity]').value"))) > 0


def test_market_order_by_amount_meets_the_book(ada: Page, boris: Page) -> None:
    place(boris, "sell", "0.01", "65000")
    wait_price(ada, "ask-0", "65000.00")
    ada.click("side-buy")
    ada.click("type-market")
    ada.click("by-amount")
    ada.fill("quote-amount", "130")
    ada.wait_text("estimate-note", "0.002 BTC")
    time.sleep(2 * TOP_AGE_MAX_S)  # intake may look at the best prices of a moment ago
    ada.click("submit")
    ada.wait_text("toasts", "illed: Buy 130 USDT at market")
    boris.click("cancel-all")
    boris.wait_text("open-count", "0")


def test_api_key_is_shown_once_and_can_be_revoked(ada: Page, stack_url: str) -> None:
    ada.goto(f"{stack_url}/keys")
    ada.fill("key-label", "bot")
    ada.click("key-trade")
    ada.click("key-create")
    ada.wait("document.querySelector('[data-testid=new-secret]').textContent.length > 20")
    ada.wait_text("keys", "read, trade")
    ada.goto(f"{stack_url}/keys")
    ada.wait_text("keys", "bot")
    assert ada.text("new-secret") == ""
    ada.run("window.confirm = () => true")
    ada.click("key-revoke")
    ada.wait_text("keys", "revoked")


def test_signing_out_elsewhere_ends_the_socket_and_the_page_goes_to_sign_in(ada: Page) -> None:
    # As another tab would do it. Not awaited: this page leaves as soon as its socket is closed.
    header = "{'X-CSRFToken': document.body.dataset.csrf}"
    ada.run(f"void fetch('/logout', {{method: 'POST', headers: {header}}})")
    # Long before the page would notice by itself: it asks the API again every 30 s.
    ada.wait("location.pathname === '/login'", timeout_s=10)


def test_page_fits_a_phone_without_scrolling_sideways(ada: Page) -> None:
    ada.size(390, 844)
    for tab in ("form", "book", "orders", "market"):
        ada.click(f"tab-{tab}")
        overflow = ada.run("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, tab


def test_decimals_of_the_page_are_those_of_python(ada: Page) -> None:
    chance = random.Random(7)
    pairs = [
        (f"{chance.randrange(10**9)}.{chance.randrange(10**8):08}", f"{chance.random():.9f}1")
        for _ in range(200)
    ]
    script = f"""import('/static/takas/decimal.js').then((D) => {json.dumps(pairs)}.map(
        ([a, b]) => [D.text(D.parse(a)), D.text(D.timesDown(D.parse(a), D.parse(b))),
        D.text(D.timesUp(D.parse(a), D.parse(b))), D.text(D.floorTo(D.parse(a), D.parse(b))),
        D.text(D.overDown(D.parse(a), D.parse(b)))]))"""
    unit = Decimal(1).scaleb(-18)
    with localcontext() as context:
        context.prec = 80
        for (left, right), found in zip(pairs, ada.run(script), strict=True):
            a, b = Decimal(left), Decimal(right)
            expected = [
                a,
                (a * b).quantize(unit, ROUND_FLOOR),
                (a * b).quantize(unit, ROUND_CEILING),
                a // b * b,
                (a / b).quantize(unit, ROUND_FLOOR),
            ]
            assert [Decimal(one) for one in found] == expected


def test_typed_numbers_take_a_comma_and_refuse_what_is_ambiguous(ada: Page) -> None:
    script = """import('/static/takas/decimal.js').then((D) => ['1,5', '1.5', ' .5 ', '7.', '1 000',
        '1,000.5', '-1', '1e3', '', 'x', '0x10'].map((typed) => {
            const value = D.parseTyped(typed); return value === null ? null : D.text(value); }))"""
    expected = ["1.5", "1.5", "0.5", "7", "1000", None, None, None, None, None, None]
    assert ada.run(script) == expected
