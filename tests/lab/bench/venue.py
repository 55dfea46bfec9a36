"""Open the venue of a benchmark: symbols, users without an order-rate limit, ample funds."""

import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from django.db import transaction

from config.demo.seed import maker_tier_ensure
from exchange.domain.enums import AccountKind, EntryKind
from exchange.domain.units import decimal_to_atoms
from exchange.models import Asset, Symbol
from exchange.selectors import CATALOGUE_STALE_MAX_S
from tests.lab.clients.bots import Bot, bots_ensure
from wallets.models import Account
from wallets.postings import Posting
from wallets.services import journal_post

FUNDS: Final = Decimal(10) ** 12
PRICE_TICKS: Final = 100_000
TICK: Final = Decimal("0.01")
LOT: Final = Decimal("0.0001")
QUANTITY: Final = "0.01"


def venue_open(users: int) -> tuple[Symbol, list[Bot]]:
    """Create a symbol and its users; the first half of them buys, the second half sells.

    Returns when every web process knows the symbol.
    """
    bots = users_open(users)
    (symbol,) = symbols_open(bots, 1)
    return symbol, bots


@transaction.atomic
def users_open(users: int) -> list[Bot]:
    """Return this many users; the keys that they had before are void."""
    assert users % 2 == 0
    return bots_ensure([f"bench-{place}" for place in range(1, users + 1)], maker_tier_ensure())


def symbols_open(bots: Sequence[Bot], count: int) -> list[Symbol]:
    """Create symbols with one quote asset, and fund these users in all of their assets.

    Returns when every web process knows the symbols.
    """
    symbols = _symbols_make(bots, count)
    time.sleep(CATALOGUE_STALE_MAX_S)
    return symbols


@transaction.atomic
def _symbols_make(bots: Sequence[Bot], count: int) -> list[Symbol]:
    first = Symbol.objects.filter(code__regex=r"^BENCH[0-9]+-UNIT[0-9]+$").count() + 1
    quote = Asset.objects.create(code=f"UNIT{first}", name=f"Benchmark unit {first}", scale=8)
    symbols = [_symbol_make(number, quote) for number in range(first, first + count)]
    for asset in [quote, *(symbol.base for symbol in symbols)]:
        _fund(bots, asset)
    return symbols


def _symbol_make(number: int, quote: Asset) -> Symbol:
    base = Asset.objects.create(code=f"BENCH{number}", name=f"Benchmark {number}", scale=8)
    return Symbol.objects.create(
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


def _fund(bots: Sequence[Bot], asset: Asset) -> None:
    """Deposit FUNDS to every user in one journal."""
    atoms = decimal_to_atoms(FUNDS, asset.scale)
    external = Account.objects.get(kind=AccountKind.EXTERNAL)
    postings = [Posting(bot.account_id, asset.pk, atoms, EntryKind.DEPOSIT) for bot in bots]
    postings.append(Posting(external.pk, asset.pk, -atoms * len(bots), EntryKind.DEPOSIT))
    journal_post(
        kind=EntryKind.DEPOSIT, key=f"bench:{asset.code}", postings=postings, scale=asset.scale
    )
