"""The table of brands."""

from django.core.validators import RegexValidator
from django.db import models

from exchange.models.symbols import Symbol

COLOUR = RegexValidator(r"^#[0-9a-f]{6}\Z", "a colour such as #0b6cff")


class Brand(models.Model):
    """A white-label front, chosen by host name, with its own name, colours and symbols."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=60)
    host = models.CharField(max_length=253, unique=True, null=True, blank=True)
    colour_primary = models.CharField(max_length=7, default="#0b6cff", validators=[COLOUR])
    colour_accent = models.CharField(max_length=7, default="#f0a020", validators=[COLOUR])
    logo_svg = models.TextField(blank=True, max_length=20_000)
    symbols = models.ManyToManyField(Symbol, blank=True, help_text="Empty: all listed symbols.")
    is_default = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"],
                condition=models.Q(is_default=True),
                name="brand_one_default",
            )
        ]

    def __str__(self) -> str:
        return self.name
