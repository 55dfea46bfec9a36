"""Areas of the site: what a web process serves (WEB_SERVES): everything, the API or the pages.

The API is all addresses under /api/v1/. The pages are all other addresses: pages, back office,
documents of the API, static files. Every process answers the probes. A process has no routes of
another area (config/urls.py), and its door refuses such a path (docs/deployment.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from exchange.infra.http.security import API_PREFIX

PROBES: Final = ("/livez", "/readyz")


@dataclass(frozen=True, slots=True)
class Area:
    """A name, the name of its role in probes, and the parts of the site that belong to it."""

    name: str
    role: str
    has_api: bool
    has_pages: bool

    def serves(self, path: str) -> bool:
        """Return whether a process of this area answers requests to the path."""
        is_ours = self.has_api if path.startswith(API_PREFIX) else self.has_pages
        return is_ours or path in PROBES


EVERYTHING: Final = Area("all", "web", has_api=True, has_pages=True)
API: Final = Area("api", "web-api", has_api=True, has_pages=False)
PAGES: Final = Area("pages", "web-pages", has_api=False, has_pages=True)
AREAS: Final[Mapping[str, Area]] = {area.name: area for area in (EVERYTHING, API, PAGES)}


def area_served() -> Area:
    """Return the area that this process serves."""
    return AREAS[settings.WEB_SERVES]
