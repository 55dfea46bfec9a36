"""Open the venue of a replay: a symbol whose limits fit the flow, and accounts with ample funds.

Every run has a symbol and two assets of its own, so runs never mix; the pages show only the newest
symbol. The accounts are the same in every run.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.db import transaction

from config.demo.bots import funds_ensure
from config.demo.seed import maker_tier_ensure
from exchange.domain.units import MONEY_SCALE_MAX
from exchange.models import Asset, Brand, Symbol
from tests.lab.clients.bots import Bot, bots_ensure
from tests.lab.replay.flow import FlowExtent
from tests.lab.replay.terms import ReplayTerms

ACCOUNTS_PER_SIDE: Final = 16
ACCOUNTS_PER_SIDE_MAX: Final = 128
# The symbol's maxima are this multiple of the flow's.
MARGIN: Final = 10
FUNDS_MAX: Final = Decimal(10) ** 17  # keeps the sum over all accounts within NUMERIC(38,18)
SLIPPAGE_PPM: Final = 900_000
POSITION_LAST: Final = 1_000
REPLAY_CODE: Final = r"^BTCR[0-9]+-USDR[0-9]+$"


@dataclass(frozen=True, slots=True)
class ReplayVenue:
    """A symbol to replay on; the first half of the bots buys, the second sells."""

    symbol: Symbol
    tier_id: int
    terms: ReplayTerms
    bots: list[Bot]


@transaction.atomic
def venue_open(
    extent: FlowExtent, *, run: str, accounts_per_side: int = ACCOUNTS_PER_SIDE
) -> ReplayVenue:
    """Create the symbol, fund the accounts and give them API keys.

    `run` is a short mark, unique among all runs (`run_next`).
    """
    assert 0 < accounts_per_side <= ACCOUNTS_PER_SIDE_MAX
    symbol = _symbol(extent, run)
    names = [f"replay-{number}" for number in range(1, 2 * accounts_per_side + 1)]
    tier = maker_tier_ensure()
    bots = bots_ensure(names, tier)
    quote_funds = min(FUNDS_MAX, extent.notional_bound * 2 + 1)
    base_funds = min(FUNDS_MAX, extent.quantity_total * 2 + 1)
    for place, bot in enumerate(bots):
        is_buyer = place < accounts_per_side
        funds = {symbol.quote.code: quote_funds} if is_buyer else {symbol.base.code: base_funds}
        funds_ensure(bot.account_id, funds, key=f"replay-{run}")
    terms = ReplayTerms(symbol.code, symbol.tick, symbol.lot, run, accounts_per_side)
    brand_show(symbol)
    return ReplayVenue(symbol, tier.pk, terms, bots)


def replays_unlist() -> None:
    """Unlist the symbols of earlier runs; they stay readable."""
    Symbol.objects.filter(code__regex=REPLAY_CODE, is_listed=True).update(is_listed=False)


def brand_show(symbol: Symbol) -> None:
    """Show the newest replay's symbol on the default brand's pages instead of older ones."""
    brand = Brand.objects.filter(is_default=True).first()
    # A brand without symbols of its own shows all listed symbols.
    if brand is not None and brand.symbols.exists():
        brand.symbols.remove(*brand.symbols.filter(code__regex=REPLAY_CODE))
        brand.symbols.add(symbol)


def run_next() -> str:
    """Return the mark of the next run: R1, R2, ..."""
    return f"R{Symbol.objects.filter(code__regex=REPLAY_CODE).count() + 1}"


def _symbol(extent: FlowExtent, run: str) -> Symbol:
    base_scale = max(8, _places(extent.lot))
    quote_scale = max(2, _places(extent.tick) + _places(extent.lot))
    assert max(base_scale, quote_scale) <= MONEY_SCALE_MAX
    base = Asset.objects.create(code=f"BTC{run}", name=f"Replay {run}", scale=base_scale)
    quote = Asset.objects.create(code=f"USD{run}", name=f"Replay {run}", scale=quote_scale)
    return Symbol.objects.create(
        code=f"{base.code}-{quote.code}",
        base=base,
        quote=quote,
        tick=extent.tick,
        lot=extent.lot,
        quantity_min=extent.lot,
        quantity_max=max(extent.lot, extent.quantity_max) * MARGIN,
        notional_min=0,
        price_min=extent.tick,
        price_max=max(extent.tick, extent.price_max) * MARGIN,
        band_ppm=0,
        slippage_ppm=SLIPPAGE_PPM,
        open_orders_max=0,
        position=POSITION_LAST,
    )


def _places(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)
