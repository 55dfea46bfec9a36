"""Effective fees in percent, with the row that each comes from."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from exchange.domain.units import percent_text
from exchange.models import Symbol, Tier
from exchange.selectors import DEFAULT_FEES, Catalogue, FeeKey, catalogue_read

SHOWN_MAX: Final = 200
PRECEDENCE: Final = (
    "The most specific row counts: first the tier on the symbol, then the tier on any symbol, then"
    " any tier on the symbol, then any tier on any symbol. So a tier's row on any symbol beats the"
    " row of any tier on one symbol. Without any row the maker pays"
    f" {percent_text(DEFAULT_FEES.maker_ppm)} % and the taker"
    f" {percent_text(DEFAULT_FEES.taker_ppm)} %. An order keeps the fees it was accepted with."
)


class EffectiveFee(NamedTuple):
    """The fees of a tier on a symbol, and the row that gives them."""

    tier: str
    symbol: str
    maker: str
    taker: str
    row: str


def fees_effective(tiers: Iterable[Tier], symbols: Iterable[Symbol]) -> list[EffectiveFee]:
    """Return the fees of each tier on each symbol, at most SHOWN_MAX of them."""
    known = catalogue_read()
    names = dict(Tier.objects.values_list("pk", "name"))
    tiers = list(tiers)
    found = [_effective(known, names, tier, symbol) for symbol in symbols for tier in tiers]
    return found[:SHOWN_MAX]


def _effective(known: Catalogue, names: dict[int, str], tier: Tier, symbol: Symbol) -> EffectiveFee:
    rates = known.fee_rates(tier_id=tier.pk, symbol_id=symbol.pk)
    key = known.fee_key(tier_id=tier.pk, symbol_id=symbol.pk)
    return EffectiveFee(
        tier.name,
        symbol.code,
        f"{percent_text(rates.maker_ppm)} %",
        f"{percent_text(rates.taker_ppm)} %",
        _row(key, names, symbol.code),
    )


def _row(key: FeeKey | None, names: dict[int, str], code: str) -> str:
    if key is None:
        return "no row: the default"
    tier_id, symbol_id = key
    tier = "any tier" if tier_id is None else names[tier_id]
    return f"{tier} on {'any symbol' if symbol_id is None else code}"


def _lines(fees: Iterable[EffectiveFee], *, by_symbol: bool) -> SafeString:
    return format_html_join(
        "",
        "<div>{}: maker {}, taker {} <small>({})</small></div>",
        ((fee.symbol if by_symbol else fee.tier, fee.maker, fee.taker, fee.row) for fee in fees),
    )


def fees_of_symbol(symbol: Symbol) -> str:
    """Return, as HTML, the fees of each tier on the symbol."""
    if symbol._state.adding:
        return "They are shown when it is saved."
    return _lines(fees_effective(Tier.objects.order_by("name"), [symbol]), by_symbol=False) or (
        "There is no tier yet."
    )


def fees_of_tier(tier: Tier) -> str:
    """Return, as HTML, the fees of the tier on each listed symbol."""
    if tier._state.adding:
        return "They are shown when it is saved."
    symbols = Symbol.objects.filter(is_listed=True)
    return _lines(fees_effective([tier], symbols), by_symbol=True) or "No symbol is listed yet."
