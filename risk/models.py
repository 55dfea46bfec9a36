"""Limits that staff set for single users: columns and constraints only."""

from django.conf import settings
from django.db import models


class OrderLimit(models.Model):
    """The limits of one user's open orders on one symbol, in place of the symbol's limits.

    When staff saves a row, a command tells the engine (orders/markets/rules.py).
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    symbol = models.ForeignKey("exchange.Symbol", on_delete=models.CASCADE, related_name="+")
    open_orders_max = models.PositiveIntegerField(help_text="Open and waiting; 0 means no limit.")
    stop_orders_max = models.PositiveIntegerField(help_text="Waiting ones; 0 means no limit.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "symbol"], name="order_limit_one")]

    def __str__(self) -> str:
        return f"{self.user} on {self.symbol}"
