"""Pages: sign in and out, trade, API keys. Their scripts read all data through the API."""

import hashlib
from collections.abc import Mapping
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from exchange.access.ends import sign_out
from exchange.access.principals import principal_of_user
from exchange.domain.codes import DESCRIPTIONS
from exchange.domain.units import percent_text
from exchange.infra.http.security import websocket_url
from exchange.selectors import catalogue_with
from exchange.signin.forms import SignInForm
from exchange.signin.service import session_begin
from exchange.signin.wait_page import wait_answer
from exchange.web.brands import BrandShown, brand_for_host

SYMBOL_PREFERRED = "BTC-USDT"
BRAND_CACHE_S = 60
PERCENTS = (25, 50, 75, 100)
ORDER_LISTS = (
    ("orders-open", "open-orders", "Open orders"),
    ("orders-recent", "recent-orders", "Recent orders"),
)
# An order tells why it ended by a code without values: only texts without placeholders fit.
REASONS = {code.value: text for code, (_, text) in DESCRIPTIONS.items() if "{" not in text}


def brand_of(request: HttpRequest) -> BrandShown:
    """Return the brand of the request's host name."""
    name = urlsplit(f"//{request.get_host()}").hostname or ""
    return brand_for_host(name)


def _page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, object] | None = None,
    status: int = 200,
) -> HttpResponse:
    return render(request, template, {"brand": brand_of(request), **(context or {})}, status=status)


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Redirect to the trading page of the brand's first symbol."""
    symbols = brand_of(request).symbols
    if not symbols:
        return _page(request, "web/empty.html", status=503)
    first = SYMBOL_PREFERRED if SYMBOL_PREFERRED in symbols else symbols[0]
    return redirect("trade", symbol=first)


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Show the form, or sign in; after too many failures the next attempt has to wait.

    The answer never tells whether the name or the password was wrong.
    """
    target = _target(request)
    if request.user.is_authenticated:
        return HttpResponseRedirect(target)
    if request.method == "GET":
        return _page(request, "web/login.html", {"form": SignInForm(), "next": target})
    form = SignInForm(request, data=request.POST)
    if form.is_valid():
        session_begin(request, form.get_user())
        return HttpResponseRedirect(target)
    if form.wait_s:
        return wait_answer(form.wait_s)
    return _page(request, "web/login.html", {"form": form, "next": target}, status=401)


@require_POST
def leave(request: HttpRequest) -> HttpResponse:
    """Sign out: end the session and the WebSockets that were opened with it."""
    sign_out(request)
    return redirect(settings.LOGOUT_REDIRECT_URL)


@never_cache
@login_required
@require_GET
def trade(request: HttpRequest, symbol: str) -> HttpResponse:
    """Show the trading page of a symbol that the brand shows, listed or not."""
    brand = brand_of(request)
    is_listed = symbol in brand.symbols
    if not (is_listed or symbol in brand.unlisted):
        raise Http404
    catalogue = catalogue_with(symbol)
    rules = catalogue.symbols_by_code.get(symbol)
    if rules is None:
        raise Http404
    base, _, quote = symbol.partition("-")
    tier_id = principal_of_user(request.user.pk or 0).principal.tier_id
    fees = catalogue.fee_rates(tier_id=tier_id, symbol_id=rules.units.symbol_id)
    context = {
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "symbols": brand.symbols if is_listed else (*brand.symbols, symbol),
        "is_listed": is_listed,
        "fees": fees,
        "maker_percent": percent_text(fees.maker_ppm),
        "taker_percent": percent_text(fees.taker_ppm),
        "websocket_url": websocket_url(request),
        "percents": PERCENTS,
        "order_lists": ORDER_LISTS,
        "reasons": REASONS,
    }
    return _page(request, "web/trade.html", context)


@never_cache
@login_required
@require_GET
def api_keys(request: HttpRequest) -> HttpResponse:
    """Show the page of the user's API keys."""
    return _page(request, "web/keys.html")


@require_GET
def brand_css(request: HttpRequest) -> HttpResponse:
    """Serve the brand's colours as custom properties; the model allows only #rrggbb."""
    brand = brand_of(request)
    text = (
        f":root {{ --brand-primary: {brand.colour_primary};"
        f" --brand-accent: {brand.colour_accent}; }}\n"
    )
    return _cached(request, text, "text/css")


@require_GET
def brand_logo(request: HttpRequest) -> HttpResponse:
    """Serve the brand's logo. In <img>, SVG runs no script; opened alone, it is sandboxed."""
    svg = brand_of(request).logo_svg
    if not svg:
        raise Http404
    response = _cached(request, svg, "image/svg+xml")
    response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return response


def _target(request: HttpRequest) -> str:
    """Return the page to show after signing in; only a page of this host is accepted."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if safe else str(settings.LOGIN_REDIRECT_URL)


def _cached(request: HttpRequest, text: str, content_type: str) -> HttpResponse:
    etag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    if request.headers.get("If-None-Match") == etag:
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(text, content_type=f"{content_type}; charset=utf-8")
    response["ETag"] = etag
    response["Cache-Control"] = f"public, max-age={BRAND_CACHE_S}"
    response["Vary"] = "Host"
    return response
