"""Fields and constraints that all models share."""

from collections.abc import Iterable
from typing import Any

from django.db import models

from exchange.domain.units import MONEY_DIGITS_MAX, MONEY_SCALE_MAX


def money_field(**options: Any) -> "models.DecimalField[Any, Any]":
    """Return a NUMERIC(38,18) field, which stores an amount, a price or a quantity."""
    return models.DecimalField(
        max_digits=MONEY_DIGITS_MAX,
        decimal_places=MONEY_SCALE_MAX,
        **options,
    )


def word_check(column: str, words: Iterable[str], name: str) -> models.CheckConstraint:
    """Return the constraint that a column holds one of these words, or null where it may."""
    return models.CheckConstraint(
        condition=models.Q(**{f"{column}__in": [str(word) for word in words]}), name=name
    )
