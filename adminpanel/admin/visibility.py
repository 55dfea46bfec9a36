"""Where a symbol is shown: which brands, and why."""

from typing import Final

from exchange.models import Brand, Symbol

ALL: Final = "all listed symbols"


def brands_by_symbol() -> dict[int | None, list[str]]:
    """Names of the brands that show each symbol; under None those that show all listed ones."""
    shown: dict[int | None, list[str]] = {}
    for brand in Brand.objects.prefetch_related("symbols").order_by("name"):
        chosen: list[int | None] = [symbol.pk for symbol in brand.symbols.all()]
        for symbol_id in chosen or [None]:
            shown.setdefault(symbol_id, []).append(brand.name)
    return shown


def shown_words(symbol: Symbol, shown: dict[int | None, list[str]]) -> str:
    """Where customers find the symbol."""
    if symbol._state.adding:
        return f"Brands without a list of their own show {ALL}; others are told in the brand."
    if not symbol.is_listed:
        return "nowhere: it is not listed; its page stays reachable by its address"
    if not shown:
        return "the unbranded page"
    names = sorted({*shown.get(None, []), *shown.get(symbol.pk, [])})
    return ", ".join(names) or "NOWHERE: every brand has a list of its own, and it is on none"
