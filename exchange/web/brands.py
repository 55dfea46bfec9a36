"""Which brand a host name shows. Kept for a short while: every page and style sheet asks."""

import threading
import time
from dataclasses import dataclass, replace
from typing import Final

from exchange.models import Brand, Symbol

KNOWN_S: Final = 15.0
HOSTS_MAX: Final = 500  # host names are the client's choice: remember a bounded number


@dataclass(frozen=True, slots=True)
class BrandShown:
    """What pages need of a brand. `symbols` are the codes it may show, in display order."""

    slug: str
    name: str
    colour_primary: str
    colour_accent: str
    logo_svg: str
    symbols: tuple[str, ...]


UNBRANDED: Final = BrandShown("takas", "Takas", "#0b6cff", "#f0a020", "", ())

_lock = threading.Lock()
_known: dict[str, tuple[float, BrandShown]] = {}


def brand_for_host(host: str) -> BrandShown:
    """The brand of this host name (no port), else the default one, else a plain one."""
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
    """Show changed brands at once in this process; others follow within seconds."""
    with _lock:
        _known.clear()


def _brand_load(host: str) -> BrandShown:
    brand = (
        Brand.objects.filter(host__iexact=host).first()
        or Brand.objects.filter(is_default=True).first()
    )
    listed = Symbol.objects.filter(is_listed=True).order_by("position", "code")
    if brand is None:
        return replace(UNBRANDED, symbols=tuple(listed.values_list("code", flat=True)))
    chosen = set(brand.symbols.values_list("pk", flat=True))
    codes = tuple(symbol.code for symbol in listed if not chosen or symbol.pk in chosen)
    return BrandShown(
        slug=brand.slug,
        name=brand.name,
        colour_primary=brand.colour_primary,
        colour_accent=brand.colour_accent,
        logo_svg=brand.logo_svg,
        symbols=codes,
    )
