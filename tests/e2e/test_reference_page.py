"""The API reference page in a browser, under the content policy of all pages."""

import os
from pathlib import Path

from tests.e2e.browser import page_open


def test_the_reference_shows_every_operation_and_breaks_no_policy(stack_url: str) -> None:
    with page_open() as page:
        page.goto(f"{stack_url}/api/docs")
        page.wait("document.querySelectorAll('.opblock').length > 15")
        page.run("document.querySelector('#operations-orders-orders_place button').click()")
        page.wait("document.querySelector('.opblock.is-open .responses-wrapper') !== null")
        page.run("window.scrollTo(0, 0)")
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(Path(folder) / "reference.png")
        assert page.faults == []
