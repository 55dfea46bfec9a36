"""Open the venue of a benchmark: one symbol, users without an order-rate limit, ample funds."""

import time
from decimal import Decimal
from typing import Final

from django.db import transaction

from config.demo.bots import funds_ensure
from config.demo.seed import maker_tier_ensure
from exchange.models import Asset, Symbol
from exchange.selectors import CATALOGUE_STALE_MAX_S
from tests.lab.clients.bots import Bot, bots_ensure

FUNDS: Final = Decimal(10) ** 12
PRICE_TICKS: Final = 100_000
TICK: Final = Decimal("0.01")
LOT: Final = Decimal("0.0001")
QUANTITY: Final = "0.01"


def venue_open(users: int) -> tuple[Symbol, list[Bot]]:
    """Create a symbol and its users; the first half of them buys, the second half sells.

    Returns when every web process knows the symbol.
    """
    made = _venue_make(users)
    time.sleep(CATALOGUE_STALE_MAX_S)
    return made


@transaction.atomic
def _venue_make(users: int) -> tuple[Symbol, list[Bot]]:
    assert users % 2 == 0
    number = Symbol.objects.filter(code__regex=r"^BENCH[0-9]+-UNIT[0-9]+$").count() + 1
    base = Asset.objects.create(code=f"BENCH{number}", name=f"Benchmark {number}", scale=8)
    quote = Asset.objects.create(code=f"UNIT{number}", name=f"Benchmark unit {number}", scale=8)
    symbol = Symbol.objects.create(
        code=f"{base.code}-{quote.code}",
        base=base,
        quote=quote,
        tick=TICK,
        lot=LOT,
        quantity_min=LOT,
        quantity_max=1_000_000,
        notional_min=0,
        price_min=TICK,
        price_max=1_000_000_000,
        open_orders_max=0,
    )
    bots = bots_ensure([f"bench-{place}" for place in range(1, users + 1)], maker_tier_ensure())
    for bot in bots:
        funds_ensure(bot.account_id, {base.code: FUNDS, quote.code: FUNDS}, key=f"bench{number}")
    return symbol, bots
