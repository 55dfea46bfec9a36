"""exchange.api.errors: every code has a status with a title, and a text."""

from exchange.api.errors import TITLES
from exchange.domain.codes import DESCRIPTIONS, Code
from exchange.domain.errors import DomainError


def test_every_status_has_a_title() -> None:
    assert {status for status, _ in DESCRIPTIONS.values()} <= set(TITLES)


def test_a_text_without_its_values_is_still_a_text() -> None:
    for code in Code:
        assert DomainError(code).detail
