"""The tables of assets, symbols and fees."""

from django.core.validators import MaxValueValidator, RegexValidator
from django.db import connection, models

from exchange.domain.enums import SymbolState
from exchange.domain.units import MONEY_SCALE_MAX, PPM, NotExact, SymbolUnits
from exchange.models.fields import money_field, word_check
from exchange.models.users import Tier

ASSET_CODE = RegexValidator(r"^[A-Z0-9]{2,12}\Z", "2 to 12 of A-Z and 0-9")
SYMBOL_CODE = RegexValidator(r"^[A-Z0-9]{2,12}-[A-Z0-9]{2,12}\Z", "BASE-QUOTE")


class Asset(models.Model):
    """A currency. Its scale is fixed once a balance or a symbol uses it."""

    code = models.CharField(max_length=12, unique=True, validators=[ASSET_CODE])
    name = models.CharField(max_length=60)
    scale = models.PositiveSmallIntegerField(
        validators=[MaxValueValidator(MONEY_SCALE_MAX)], help_text="Decimal places."
    )

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(scale__lte=MONEY_SCALE_MAX), name="asset_scale_max"
            )
        ]

    def __str__(self) -> str:
        return self.code


class Symbol(models.Model):
    """A tradable pair and its limits. Only the engine's results change `state`."""

    code = models.CharField(max_length=25, unique=True, validators=[SYMBOL_CODE])
    base = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    quote = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    tick = money_field(help_text="Price step.")
    lot = money_field(help_text="Quantity step.")
    quantity_min = money_field()
    quantity_max = money_field()
    notional_min = money_field()
    price_min = money_field()
    price_max = money_field()
    band_ppm = models.PositiveIntegerField(
        default=0, help_text="Prices within this of the reference, in millionths; 0: off."
    )
    slippage_ppm = models.PositiveIntegerField(
        default=50_000, help_text="A market order's bound beyond the best price, in millionths."
    )
    open_orders_max = models.PositiveIntegerField(
        default=200, help_text="Open orders a user may have here; 0 means no limit."
    )
    stop_orders_max = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Orders a user may have waiting here; 0 means no limit."
    )
    band_both_sides = models.BooleanField(
        default=False,
        db_default=False,
        help_text="A buy below the band and a sell above it are refused as well.",
    )
    band_move_ppm = models.PositiveIntegerField(
        default=10_000,
        db_default=10_000,
        help_text="The band's reference moves by at least this, in millionths.",
    )
    band_move_after_s = models.PositiveIntegerField(
        default=30, db_default=30, help_text="The band's reference stands at least this long."
    )
    interruption_limit_s = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Seconds at the band's edge before trading pauses; 0: it never does.",
    )
    interruption_pause_s = models.PositiveIntegerField(
        default=300, db_default=300, help_text="Length of a volatility pause in seconds."
    )
    interruption_auction_s = models.PositiveIntegerField(
        default=60,
        db_default=60,
        help_text="Length of the auction after a volatility pause in seconds.",
    )
    state = models.CharField(
        max_length=16, choices=[(state, state) for state in SymbolState], default=SymbolState.OPEN
    )
    partition_id = models.PositiveIntegerField(default=1)
    is_listed = models.BooleanField(default=True, help_text="Shown and open to new orders.")
    position = models.PositiveSmallIntegerField(default=100, help_text="Order in lists.")

    class Meta:
        ordering = ["position", "code"]
        permissions = [("halt_symbol", "Can halt and resume trading")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(tick__gt=0, lot__gt=0), name="symbol_steps_positive"
            ),
            models.CheckConstraint(
                condition=models.Q(price_min__gt=0, price_max__gte=models.F("price_min")),
                name="symbol_price_range",
            ),
            models.CheckConstraint(
                condition=models.Q(quantity_min__gt=0, quantity_max__gte=models.F("quantity_min")),
                name="symbol_quantity_range",
            ),
            word_check("state", SymbolState, "symbol_state_known"),
            models.CheckConstraint(
                condition=models.Q(notional_min__gte=0), name="symbol_notional_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return self.code

    def units(self) -> SymbolUnits:
        """Return the units of this symbol; `base` and `quote` must be loaded."""
        return SymbolUnits.build(
            symbol_id=self.pk or 0,
            code=self.code,
            base_asset_id=self.base_id,
            quote_asset_id=self.quote_id,
            base_scale=self.base.scale,
            quote_scale=self.quote.scale,
            tick=self.tick,
            lot=self.lot,
        )

    def clean(self) -> None:
        """Refuse a tick times a lot that is not a whole number of quote atoms: money must be exact.

        Refuse a change of the grid while orders or trades depend on it.
        """
        from django.core.exceptions import ValidationError

        if None in (self.base_id, self.quote_id, self.tick, self.lot):
            return  # the fields report their own errors
        if self.code != f"{self.base.code}-{self.quote.code}":
            raise ValidationError({"code": "The code must be BASE-QUOTE of the two assets."})
        try:
            self.units()
        except NotExact as error:
            raise ValidationError(
                {"tick": "tick x lot must be a multiple of the quote asset's smallest unit"}
            ) from error
        if self._grid_moves():
            raise ValidationError(
                "The grid (assets, tick, lot, partition) is fixed: it can change only while the"
                " symbol is halted, has no live order and never traded."
            )

    def _grid_moves(self) -> bool:
        """Return whether the grid differs from the stored one and may not; a trigger checks too."""
        columns = ("base_id", "quote_id", "tick", "lot", "partition_id")
        stored = Symbol.objects.filter(pk=self.pk).values("state", *columns).first()
        if stored is None or all(stored[name] == getattr(self, name) for name in columns):
            return False
        with connection.cursor() as cursor:
            cursor.execute("SELECT takas_symbol_in_use(%s)", (self.pk,))
            in_use = cursor.fetchone()
        return bool(stored["state"] != SymbolState.HALT or in_use == (True,))


class FeeSchedule(models.Model):
    """Maker and taker fee of a tier on a symbol; an empty tier or symbol means any."""

    tier = models.ForeignKey(Tier, on_delete=models.CASCADE, null=True, blank=True)
    symbol = models.ForeignKey(Symbol, on_delete=models.CASCADE, null=True, blank=True)
    maker_ppm = models.PositiveIntegerField(default=500)
    taker_ppm = models.PositiveIntegerField(default=1_000)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tier", "symbol"], name="fee_schedule_one", nulls_distinct=False
            ),
            # The reservation covers the taker fee: a maker may never pay more.
            models.CheckConstraint(
                condition=models.Q(maker_ppm__lte=models.F("taker_ppm"), taker_ppm__lt=PPM),
                name="fee_schedule_range",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tier or 'any tier'} on {self.symbol or 'any symbol'}"
