"""Open the venue of a benchmark: symbols, users without an order-rate limit, ample funds."""

import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import psycopg
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

_ACCOUNTS: Final = """
WITH people AS (
    INSERT INTO exchange_user (password, is_superuser, username, first_name, last_name,
        email, is_staff, is_active, date_joined, is_suspended)
    SELECT '', false, %s || '-' || n, '', '', '', false, true, now(), false
    FROM generate_series(1, %s) AS n RETURNING id)
INSERT INTO wallets_account (kind, user_id, created_at)
SELECT 'user', id, now() FROM people RETURNING id
"""


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


def symbols_open(
    bots: Sequence[Bot], count: int, *, partitions: int = 1, others: Sequence[int] = ()
) -> list[Symbol]:
    """Create symbols with one quote asset, and fund these users in all of their assets.

    The symbols take turns in the engine's partitions 1 to `partitions`. `others` are accounts that
    are funded too. Returns when every web process knows the symbols.
    """
    symbols = _symbols_make([*(bot.account_id for bot in bots), *others], count, partitions)
    time.sleep(CATALOGUE_STALE_MAX_S)
    return symbols


def accounts_open(connection: psycopg.Connection, mark: str, count: int) -> list[int]:
    """Create this many users of names that begin with `mark`; return their accounts' ids."""
    rows = connection.execute(_ACCOUNTS, (mark, count)).fetchall()
    return [row[0] for row in rows]


@transaction.atomic
def _symbols_make(account_ids: Sequence[int], count: int, partitions: int) -> list[Symbol]:
    first = Symbol.objects.filter(code__regex=r"^BENCH[0-9]+-UNIT[0-9]+$").count() + 1
    quote = Asset.objects.create(code=f"UNIT{first}", name=f"Benchmark unit {first}", scale=8)
    symbols = [_symbol_make(first + place, quote, 1 + place % partitions) for place in range(count)]
    for asset in [quote, *(symbol.base for symbol in symbols)]:
        _fund(account_ids, asset)
    return symbols


def _symbol_make(number: int, quote: Asset, partition_id: int) -> Symbol:
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
        partition_id=partition_id,
    )


def _fund(account_ids: Sequence[int], asset: Asset) -> None:
    """Deposit FUNDS to every account in one journal."""
    atoms = decimal_to_atoms(FUNDS, asset.scale)
    external = Account.objects.get(kind=AccountKind.EXTERNAL)
    postings = [Posting(one, asset.pk, atoms, EntryKind.DEPOSIT) for one in account_ids]
    postings.append(Posting(external.pk, asset.pk, -atoms * len(account_ids), EntryKind.DEPOSIT))
    journal_post(
        kind=EntryKind.DEPOSIT, key=f"bench:{asset.code}", postings=postings, scale=asset.scale
    )
