"""Fill an exchange with what a demonstration needs. Every step can be repeated: it then changes
nothing, also where staff have changed something since."""

from pathlib import Path

from django.db import transaction

from config.demo.bots import KEYS_NAME, funds_ensure, key_renew, keys_read, keys_write
from config.demo.client import Credentials
from config.demo.reference import (
    ASSETS,
    DEFAULT_TIER,
    FEES,
    MAKER_FUNDS,
    MAKER_TIER,
    MAKERS,
    PASSWORD,
    STAFF,
    SYMBOLS,
    TRADER_FUNDS,
    TRADERS,
)
from exchange.access.secrets import SecretUnreadable, secret_decrypt
from exchange.models import ApiKey, Asset, Brand, FeeSchedule, Symbol, Tier, User
from orders.markets.rules import symbol_rules_send
from wallets.services import account_open, user_create


@transaction.atomic
def reference_seed() -> None:
    """Make tiers, fees, assets, symbols and the default brand where they are missing."""
    Tier.objects.get_or_create(
        name=DEFAULT_TIER,
        defaults={"is_default": not Tier.objects.filter(is_default=True).exists()},
    )
    maker_tier_ensure()
    for code, name, scale in ASSETS:
        Asset.objects.get_or_create(code=code, defaults={"name": name, "scale": scale})
    for tier_name, (maker_ppm, taker_ppm) in FEES.items():
        tier = Tier.objects.get(name=tier_name) if tier_name else None
        FeeSchedule.objects.get_or_create(
            tier=tier, symbol=None, defaults={"maker_ppm": maker_ppm, "taker_ppm": taker_ppm}
        )
    for position, (code, columns, _) in enumerate(SYMBOLS, start=1):
        base, quote = (Asset.objects.get(code=part) for part in code.split("-"))
        defaults = {"base": base, "quote": quote, "position": position, **columns}
        Symbol.objects.get_or_create(code=code, defaults=defaults)
    brand_seed()


def rules_seed() -> None:
    """Send the engine those rules of the demonstration's symbols that it was not sent yet.

    To be called outside any transaction: the commands must find the symbols committed.
    """
    codes = [symbol.code for symbol in SYMBOLS]
    for symbol_id in Symbol.objects.filter(code__in=codes).values_list("pk", flat=True):
        symbol_rules_send(symbol_id, note="seed_demo")


def maker_tier_ensure() -> Tier:
    """Return the tier without an order-rate limit; its users may ask for no self-trade check."""
    tier, _ = Tier.objects.get_or_create(
        name=MAKER_TIER, defaults={"orders_per_second": 0, "may_self_trade": True}
    )
    return tier


def brand_seed() -> None:
    """Make the default brand. Without a list of its own it shows every listed symbol."""
    if not Brand.objects.filter(is_default=True).exists():
        Brand.objects.create(slug="takas", name="Takas", is_default=True)


@transaction.atomic
def people_seed() -> None:
    """Make the demonstration's people with their public password, and fund the traders."""
    tier = Tier.objects.get(name=DEFAULT_TIER)
    for name in TRADERS:
        user = _person(name, tier)
        funds_ensure(account_open(user_id=user.pk).pk, TRADER_FUNDS, key="demo")
    if not User.objects.filter(username=STAFF).exists():
        user_create(STAFF, password=PASSWORD, is_superuser=True)


def _person(name: str, tier: Tier) -> User:
    user = User.objects.filter(username=name).first()
    return user or user_create(name, password=PASSWORD, tier=tier)


@transaction.atomic
def makers_seed(data: Path) -> None:
    """Make and fund the market makers; keep their keys in the data folder."""
    tier = maker_tier_ensure()
    path = data / KEYS_NAME
    keys = _keys_kept(path)
    for name in MAKERS:
        user, is_new = User.objects.get_or_create(username=name, defaults={"tier": tier})
        if is_new:
            user.set_unusable_password()
            user.save(update_fields=["password"])
        funds_ensure(account_open(user_id=user.pk).pk, MAKER_FUNDS, key="demo")
        if not _is_good(keys.get(name), user):
            keys[name] = key_renew(user)
    data.mkdir(parents=True, exist_ok=True)
    keys_write(path, keys)


def _is_good(credentials: Credentials | None, user: User) -> bool:
    """Tell whether the exchange still has this key, and can decrypt its secret."""
    if credentials is None:
        return False
    key = ApiKey.objects.filter(user=user, key_id=credentials.key, revoked_at=None).first()
    if key is None:
        return False
    try:
        return secret_decrypt(bytes(key.secret_encrypted)) == credentials.secret.encode()
    except SecretUnreadable:
        return False


def _keys_kept(path: Path) -> dict[str, Credentials]:
    """Return the keys of an earlier seed; none where the file is missing or unreadable."""
    try:
        return keys_read(path)
    except (OSError, ValueError):
        return {}
