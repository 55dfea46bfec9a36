"""The demonstration's seed: complete, repeatable, careful with secrets."""

import stat
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from config.demo.bots import KEYS_NAME, keys_read
from config.demo.generator import MarketGenerator
from config.demo.reference import (
    DEFAULT_TIER,
    MAKER_FUNDS,
    MAKER_TIER,
    MAKERS,
    STAFF,
    SYMBOLS,
    TRADER_FUNDS,
    TRADERS,
)
from config.demo.seed import makers_seed, people_seed, reference_seed
from exchange.access.secrets import secret_decrypt, secret_encrypt
from exchange.domain.units import PPM
from exchange.models import ApiKey, Brand, Symbol, Tier, User
from exchange.selectors import catalogue_forget
from exchange.web.brands import brand_for_host, brands_forget
from orders.intake.process import intake_stop
from orders.models import Command
from tests.lab.replay.flow import FlowExtent
from tests.lab.replay.venue import replays_unlist, run_next, venue_open
from wallets.models import Entry
from wallets.selectors import account_id_of, balances_of

pytestmark = pytest.mark.django_db
COMMANDS = 20_000  # so long lasts a quarter of an hour of the demonstration, or more


def seed(data: Path) -> None:
    reference_seed()
    people_seed()
    makers_seed(data)


def funds(name: str) -> dict[str, Decimal]:
    account_id = account_id_of(User.objects.get(username=name).pk)
    assert account_id is not None
    return {view.asset: view.available for view in balances_of(account_id)}


def test_the_seed_makes_markets_people_and_makers(tmp_path: Path) -> None:
    seed(tmp_path)
    assert [symbol.code for symbol in Symbol.objects.all()] == [one.code for one in SYMBOLS]
    for symbol in Symbol.objects.select_related("base", "quote"):
        symbol.full_clean()
    assert Tier.objects.get(is_default=True).name == DEFAULT_TIER
    assert Tier.objects.get(name=MAKER_TIER).orders_per_second == 0
    assert not Brand.objects.get(is_default=True).symbols.exists()
    brands_forget()
    assert brand_for_host("x").symbols == tuple(one.code for one in SYMBOLS)
    assert User.objects.get(username=STAFF).is_superuser
    for trader in TRADERS:
        assert funds(trader) == TRADER_FUNDS
    for maker in MAKERS:
        assert funds(maker) == MAKER_FUNDS
        assert not User.objects.get(username=maker).has_usable_password()


def test_a_second_seed_changes_nothing(tmp_path: Path) -> None:
    seed(tmp_path)
    entries, users, keys = (model.objects.count() for model in (Entry, User, ApiKey))
    kept = keys_read(tmp_path / KEYS_NAME)
    Symbol.objects.filter(code="BTC-USDT").update(band_ppm=1)
    seed(tmp_path)
    assert [model.objects.count() for model in (Entry, User, ApiKey)] == [entries, users, keys]
    assert keys_read(tmp_path / KEYS_NAME) == kept
    assert Symbol.objects.get(code="BTC-USDT").band_ppm == 1, "what staff changed stays"


@pytest.mark.django_db(transaction=True)
def test_the_engine_is_told_the_rules_of_the_demonstration_once() -> None:
    catalogue_forget()
    try:
        call_command("seed_demo", "--reference-only", stdout=StringIO())
        kinds = Command.objects.order_by("symbol_id", "pk").values_list("kind", flat=True)
        assert list(kinds) == ["set_feature", "set_band"] * len(SYMBOLS), "limits are off"
        call_command("seed_demo", "--reference-only", stdout=StringIO())
        assert Command.objects.count() == 2 * len(SYMBOLS)
    finally:
        intake_stop()


@pytest.mark.parametrize("place", range(len(SYMBOLS)))
def test_the_demonstrations_own_market_stays_inside_its_band(place: int) -> None:
    """Or it would be interrupted all the time, with nobody there to see why."""
    code, columns, shape = SYMBOLS[place]
    generator = MarketGenerator(shape, seed=place)
    reference: Decimal | None = None
    widest = Decimal(0)
    for _ in generator.commands(COMMANDS):
        for trade in generator.trades:
            reference = reference or trade.price  # the band is nowhere nearer than round the first
            widest = max(widest, abs(trade.price / reference - 1))
        for best in (generator.book.best("buy"), generator.book.best("sell")):
            if reference and best:
                widest = max(widest, abs(best * shape.tick / reference - 1))
    assert reference is not None
    assert widest * PPM < columns["band_ppm"] // 2, (code, widest)
    assert columns["interruption_limit_s"] > 0, "and one can be seen"


def test_the_keys_file_is_private_and_its_secrets_sign(tmp_path: Path) -> None:
    seed(tmp_path)
    path = tmp_path / KEYS_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for name, credentials in keys_read(path).items():
        key = ApiKey.objects.get(key_id=credentials.key)
        assert key.user.username == name
        assert secret_decrypt(bytes(key.secret_encrypted)).decode() == credentials.secret
        assert credentials.secret.encode() not in bytes(key.secret_encrypted)


@pytest.mark.parametrize("damage", ["spoilt", "lost", "other secret"])
def test_keys_that_no_longer_fit_are_renewed(tmp_path: Path, damage: str) -> None:
    seed(tmp_path)
    path = tmp_path / KEYS_NAME
    before = keys_read(path)
    if damage == "spoilt":
        path.write_text("{")
    elif damage == "lost":
        path.unlink()
    else:
        ApiKey.objects.update(secret_encrypted=secret_encrypt("another"))
    makers_seed(tmp_path)
    after = keys_read(path)
    assert after.keys() == before.keys()
    assert all(after[name].key != before[name].key for name in MAKERS)
    assert ApiKey.objects.count() == len(MAKERS)


def test_every_replay_has_a_symbol_of_its_own_and_the_newest_is_shown(tmp_path: Path) -> None:
    seed(tmp_path)
    extent = FlowExtent(
        price_max=Decimal(100),
        quantity_max=Decimal(5),
        quantity_total=Decimal(50),
        notional_bound=Decimal(5_000),
        tick=Decimal("0.1"),
        lot=Decimal("0.001"),
    )
    first = venue_open(extent, run=run_next(), accounts_per_side=2)
    replays_unlist()
    second = venue_open(extent, run=run_next(), accounts_per_side=2)
    assert (first.symbol.code, second.symbol.code) == ("BTCR1-USDR1", "BTCR2-USDR2")
    assert [bot.account_id for bot in first.bots] == [bot.account_id for bot in second.bots]
    for symbol in (first.symbol, second.symbol):
        symbol.clean()
    brands_forget()
    shown = brand_for_host("x").symbols
    assert second.symbol.code in shown
    assert first.symbol.code not in shown
    buyer, seller = second.bots[0], second.bots[-1]
    assert funds(buyer.name)["USDR2"] == Decimal(10_001)
    assert funds(seller.name)["BTCR2"] == Decimal(101)
    assert second.symbol.open_orders_max == 0
    assert second.symbol.band_ppm == 0
