"""The trading page in a real browser, against real processes."""

import json
import random
import time
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext

from risk.pretrade.selectors import TOP_AGE_MAX_S
from tests.e2e.browser import Page


def place(page: Page, side: str, quantity: str, price: str) -> None:
    page.click(f"side-{side}")
    page.click("type-limit")
    page.fill("price", price)
    page.fill("quantity", quantity)
    page.click("submit")


def cancel_all(page: Page) -> None:
    page.click("cancel-all")
    page.click("ask-yes")
    page.wait_text("open-count", "0")


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
    ada.wait_text("toasts", "Amended: Sell 0.1 BTC at 64100")

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


def test_an_amend_that_the_engine_refuses_is_told_with_its_reason(ada: Page, boris: Page) -> None:
    place(boris, "buy", "0.01", "63000")
    boris.wait_text("open-count", "1")
    ada.click("post-only")
    place(ada, "sell", "0.01", "64000")
    ada.wait_text("open-count", "1")
    ada.click("order-amend")
    ada.fill("amend-price", "62900")
    ada.click("order-save")
    ada.wait_text("toast-error", "Amend refused: Sell 0.01 BTC at 64000")
    ada.wait_text("toast-error", "post-only order would have traded")
    ada.click("post-only")
    for page in (ada, boris):
        page.click("order-cancel")
        page.wait_text("open-count", "0")


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
    cancel_all(boris)


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
    ada.click("key-revoke")
    ada.wait_text("ask", "Revoke bot?")
    ada.click("ask-yes")
    ada.wait_text("keys", "revoked")


def test_signing_out_elsewhere_ends_the_socket_and_the_page_goes_to_sign_in(ada: Page) -> None:
    # As another tab would do it. Not awaited: this page leaves as soon as its socket is closed.
    header = "{'X-CSRFToken': document.body.dataset.csrf}"
    ada.run(f"void fetch('/logout', {{method: 'POST', headers: {header}}})")
    # Long before the page would notice by itself: it asks the API again every 30 s.
    ada.wait("location.pathname === '/login'")


def test_page_fits_a_phone_without_scrolling_sideways(ada: Page) -> None:
    ada.size(390, 844)
    for tab in ("form", "book", "orders", "market"):
        ada.click(f"tab-{tab}")
        overflow = ada.run("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, tab


def test_no_balance_is_cut_at_any_width(ada: Page) -> None:
    """However long the numbers are, nothing of them is off to the side."""
    ada.run("""document.querySelectorAll('[data-testid=balances-rows] td').forEach((cell) => {
        cell.textContent = '30\u2009052\u2009573.13755678'; })""")
    table = "document.querySelector('[data-testid=balances-rows]').closest('.scroll')"
    for width in (1440, 1200, 800, 390):
        ada.size(width, 900)
        ada.click("tab-market") if width < 760 else None
        assert ada.run(f"{table}.scrollWidth - {table}.clientWidth") <= 0, width


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


# What is typed, and the value that is read; None: refused, with a hint.
TYPED = {
    "1,5": "1.5", "1.5": "1.5", " .5 ": "0.5", "7.": "7", "0.125": "0.125", "0,125": "0.125",
    "1000": "1000", "1000.125": "1000.125", "1.1250": "1.125", "12,5000": "12.5",
    "1,000": None, "2,500": None, "1.000": None, "999,999": None, "1.000,5": None, "1,000.5": None,
    "1,000,000": None, "1'000": None, "1 000": None, "1\u00a0000": None, "1\u2009000": None,
    "1_000": None, "\u0661\u0662": None, "\uff11\uff12": None, "1e3": None, "-1": None, "+1": None,
    "0x10": None, ".": None, "x": None,
}  # fmt: skip


def test_typed_numbers_are_read_where_they_can_mean_one_thing_only(ada: Page) -> None:
    script = f"""import('/static/takas/decimal.js').then((D) => {json.dumps(list(TYPED))}.map(
        (typed) => {{ const {{ value, fault }} = D.readTyped(typed);
            return [value === null ? null : D.text(value), fault]; }}))"""
    read = dict(zip(TYPED, ada.run(script), strict=True))
    assert {typed: value for typed, (value, _) in read.items()} == TYPED
    for typed, (value, fault) in read.items():
        assert bool(fault) == (value is None), (typed, fault)
    assert read["1,000"][1] == '"1,000" can mean 1000 or 1.000: write 1000, or 1.0000'


def test_what_the_page_fills_in_is_read_back_as_the_same_value(ada: Page) -> None:
    values = ["1.125", "999.999", "0.125", "1000.125", "12", "1.5"]
    script = f"""import('/static/takas/decimal.js').then((D) => {json.dumps(values)}.map(
        (value) => D.text(D.readTyped(D.typed(D.parse(value))).value)))"""
    assert ada.run(script) == values


def test_an_ambiguous_number_is_refused_with_a_hint_and_nothing_is_sent(ada: Page) -> None:
    place(ada, "buy", "2,500", "100")
    ada.wait_text("form-error", '"2,500" can mean 2500 or 2.500')
    ada.fill("quantity", "1 000")
    ada.wait_text("form-error", "plain digits without spaces")
    assert ada.text("open-count") == "0"
    assert ada.text("estimate-notional") == "—"


def test_a_limit_far_through_the_market_is_asked_for(ada: Page, boris: Page) -> None:
    place(boris, "sell", "0.001", "64000")
    wait_price(ada, "ask-0", "64000.00")
    place(ada, "buy", "0.001", "68000")
    ada.wait_text("ask", "The limit 68000 is 6.2 % above the market at 64000")
    ada.click("ask-no")
    ada.wait("document.querySelector('[data-testid=ask]') === null")
    assert ada.text("toasts") == ""
    place(ada, "buy", "0.0005", "67000")  # not far: no question
    ada.wait_text("toasts", "Filled: Buy 0.0005 BTC")
    place(ada, "buy", "0.0005", "68000")
    ada.click("ask-yes")
    ada.wait_text("toasts", "Filled: Buy 0.0005 BTC at 68000")


def test_cancel_all_says_what_it_cancels_and_asks(ada: Page) -> None:
    place(ada, "buy", "0.001", "60000")
    place_done(ada, "1")
    place(ada, "buy", "0.001", "60001")
    place_done(ada, "2")
    ada.click("cancel-all")
    ada.wait_text("ask", "Cancel 2 orders in BTC-USDT?")
    ada.wait_text("ask", "You have no orders in other symbols.")
    ada.click("ask-no")
    assert ada.text("open-count") == "2"
    cancel_all(ada)


def place_done(page: Page, count: str) -> None:
    page.wait_text("open-count", count)
    page.wait("!document.querySelector('[data-testid=submit]').disabled")


def test_what_became_of_an_order_is_told_after_it_was_accepted(ada: Page, boris: Page) -> None:
    place(boris, "sell", "0.001", "64000")
    wait_price(ada, "ask-0", "64000.00")
    # A slow answer: the frames overtake it.
    ada.run("""(() => {
        const fetched = window.fetch;
        window.fetch = async (path, options) => {
            const answer = await fetched(path, options);
            const recent = document.querySelector('[data-testid=recent-orders]');
            while (options.method === 'POST' && !recent.textContent.includes('filled'))
                await new Promise((resolve) => setTimeout(resolve, 20));
            return answer;
        }; })()""")
    ada.run("document.querySelector('[data-testid=recent-orders]').replaceChildren()")
    place(ada, "buy", "0.001", "64000")
    ada.wait_text("toasts", "Filled: Buy 0.001 BTC at 64000")
    told = ada.text("toasts")
    assert told.index("Accepted: Buy 0.001") < told.index("Filled: Buy 0.001"), told


def test_times_of_another_day_keep_the_time(ada: Page) -> None:
    script = """import('/static/takas/clock.js').then(({ moment }) => {
        const now = new Date(2026, 10, 28, 0, 0, 1);
        return [moment(now, now), moment(new Date(2026, 10, 27, 23, 59, 59), now),
            moment(new Date(2025, 11, 31, 8, 0, 0), now)]; })"""
    assert ada.run(script) == ["00:00:01", "27 Nov 23:59:59", "31 Dec 2025 08:00:00"]
