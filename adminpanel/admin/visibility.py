"""The brands that show a symbol."""

from typing import Final

from exchange.models import Brand, Symbol

ALL: Final = "all listed symbols"


def brands_by_symbol() -> dict[int | None, list[str]]:
    """Return the brands' names by symbol id; under None, brands that show all listed symbols."""
    shown: dict[int | None, list[str]] = {}
    for brand in Brand.objects.prefetch_related("symbols").order_by("name"):
        chosen: list[int | None] = [symbol.pk for symbol in brand.symbols.all()]
        for symbol_id in chosen or [None]:
            shown.setdefault(symbol_id, []).append(brand.name)
    return shown


def shown_words(symbol: Symbol, shown: dict[int | None, list[str]]) -> str:
    """Return, in words, where customers find the symbol."""
    if symbol._state.adding:
        return f"Brands without a list of their own show {ALL}; others are told in the brand."
    if not symbol.is_listed:
        return "nowhere: it is not listed; its page stays reachable by its address"
    if not shown:
        return "the unbranded page"
    names = sorted({*shown.get(None, []), *shown.get(symbol.pk, [])})
    return ", ".join(names) or "NOWHERE: every brand has a list of its own, and it is on none"
