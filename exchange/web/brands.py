"""The brand of a host name, cached for KNOWN_S: every page and style sheet needs it."""

import threading
import time
from dataclasses import dataclass, replace
from typing import Final

from exchange.models import Brand, Symbol

KNOWN_S: Final = 15.0
HOSTS_MAX: Final = 500  # clients choose host names: the cache is bounded


@dataclass(frozen=True, slots=True)
class BrandShown:
    """A brand as pages show it. `symbols` are the codes of its listed symbols, in display order.

    Pages of `unlisted` symbols open by their address: users with orders or a history need them.
    """

    slug: str
    name: str
    colour_primary: str
    colour_accent: str
    logo_svg: str
    symbols: tuple[str, ...]
    unlisted: frozenset[str]


UNBRANDED: Final = BrandShown("takas", "Takas", "#0b6cff", "#f0a020", "", (), frozenset())

_lock = threading.Lock()
_known: dict[str, tuple[float, BrandShown]] = {}


def brand_for_host(host: str) -> BrandShown:
    """Return the brand of a host name without port, else the default brand, else UNBRANDED."""
    now_s = time.monotonic()
    with _lock:
        known = _known.get(host)
    if known is not None and known[0] > now_s:
        return known[1]
    shown = _brand_load(host)
    with _lock:
        if len(_known) >= HOSTS_MAX:
            _known.clear()
        _known[host] = (now_s + KNOWN_S, shown)
    return shown


def brands_forget() -> None:
    """Show changed brands at once in this process; other processes follow within KNOWN_S."""
    with _lock:
        _known.clear()


def _brand_load(host: str) -> BrandShown:
    brand = (
        Brand.objects.filter(host__iexact=host).first()
        or Brand.objects.filter(is_default=True).first()
    )
    chosen = set(brand.symbols.values_list("pk", flat=True)) if brand is not None else set()
    rows = Symbol.objects.order_by("position", "code").values_list("pk", "code", "is_listed")
    shown = [(code, is_listed) for pk, code, is_listed in rows if not chosen or pk in chosen]
    codes = tuple(code for code, is_listed in shown if is_listed)
    unlisted = frozenset(code for code, is_listed in shown if not is_listed)
    if brand is None:
        return replace(UNBRANDED, symbols=codes, unlisted=unlisted)
    return BrandShown(
        slug=brand.slug,
        name=brand.name,
        colour_primary=brand.colour_primary,
        colour_accent=brand.colour_accent,
        logo_svg=brand.logo_svg,
        symbols=codes,
        unlisted=unlisted,
    )
