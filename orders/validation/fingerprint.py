"""The fingerprint of an order request, equal for all spellings of the same order. Pure."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from exchange.domain.enums import SelfTradePrevention
from orders.validation.orders import time_in_force_default
from orders.validation.requests import TERM_FIELDS, OrderRequest
from orders.validation.terms import is_plain
from orders.validation.values import time_ms_parse

FINGERPRINT_BYTES: Final = 16


def fingerprint_of(request: OrderRequest) -> str:
    """Return the request's fingerprint as hex; requests for the same order have the same.

    The spelling of decimals and times does not matter, nor whether a default is left out. The
    user's own settings are not part of it, so a repeated request keeps its fingerprint when these
    settings change.
    """
    parts = [
        request.symbol,
        request.side,
        request.type,
        request.time_in_force or time_in_force_default(request.type),
        str(request.post_only),
        request.self_trade_prevention or SelfTradePrevention.CANCEL_INCOMING,
        _decimal(request.price),
        _decimal(request.quantity),
        _decimal(request.quote_amount),
    ]
    if not is_plain(request):
        parts += _terms(request)
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=FINGERPRINT_BYTES).hexdigest()


def _terms(request: OrderRequest) -> list[str]:
    return [_TEXTS.get(name, _decimal)(getattr(request, name)) for name in TERM_FIELDS]


def _decimal(text: str | None) -> str:
    if text is None:
        return ""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _time(text: str | None) -> str:
    if text is None:
        return ""
    time_ms = time_ms_parse(text)
    return text if time_ms is None else str(time_ms)


# How to spell the terms that are not decimals.
_TEXTS: Final[Mapping[str, Callable[[Any], str]]] = {
    "trigger_source": lambda source: source or "last",
    "trail_bps": str,
    "expires_at": _time,
    "reprice": str,
}
