"""Fields and constraints that all models share."""

from collections.abc import Iterable
from typing import Any

from django.db import models

from exchange.domain.units import MONEY_DIGITS_MAX, MONEY_SCALE_MAX


def money_field(**options: Any) -> "models.DecimalField[Any, Any]":
    """NUMERIC(38,18): what every amount, price and quantity is stored as."""
    return models.DecimalField(
        max_digits=MONEY_DIGITS_MAX,
        decimal_places=MONEY_SCALE_MAX,
        **options,
    )


def word_check(column: str, words: Iterable[str], name: str) -> models.CheckConstraint:
    """The constraint that a column holds one of these words, or nothing where it may be null."""
    return models.CheckConstraint(
        condition=models.Q(**{f"{column}__in": [str(word) for word in words]}), name=name
    )
