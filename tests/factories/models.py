"""The rows that tests stand on, made by factory-boy: `SymbolFactory.create(code="ETH-USDT")`.

Every factory makes what its row cannot be without; keywords override any column, and `base__scale`
those of a row that it makes. Money is credited by `funds_give`, through the product's own service.
"""

from decimal import Decimal
from typing import Final

from django.contrib.auth.hashers import make_password
from factory.declarations import LazyAttribute, Sequence, SubFactory, Trait, Transformer
from factory.django import DjangoModelFactory

from exchange.access.secrets import secret_encrypt
from exchange.domain.enums import AccountKind
from exchange.models import ApiKey, Asset, Brand, FeeSchedule, Symbol, Tier, User
from wallets.models import Account
from wallets.services import funds_deposit

SCALES: Final = {"USDT": 6}
SCALE: Final = 8


class TierFactory(DjangoModelFactory[Tier]):
    """A tier with the product's own limits; `fast`: without a limit of orders."""

    class Meta:
        model = Tier
        django_get_or_create = ("name",)

    class Params:
        fast = Trait(name="fast", orders_per_second=0, may_self_trade=True)

    name = Sequence(lambda n: f"tier-{n}")


class UserFactory(DjangoModelFactory[User]):
    """A user without a usable password and without an account; `superuser`: one of the staff."""

    class Meta:
        model = User

    class Params:
        superuser = Trait(is_staff=True, is_superuser=True)

    username = Sequence(lambda n: f"user-{n}")
    password = Transformer(None, transform=make_password)


class AccountFactory(DjangoModelFactory[Account]):
    """A user's trading account; the user is made with it."""

    class Meta:
        model = Account

    kind = AccountKind.USER
    user = SubFactory(UserFactory)


class ApiKeyFactory(DjangoModelFactory[ApiKey]):
    """A live key that may read; `secret` is what it signs with."""

    class Meta:
        model = ApiKey

    class Params:
        secret = "s3cret"  # pragma: allowlist secret

    user = SubFactory(UserFactory)
    key_id = Sequence(lambda n: f"tk_{n}")
    secret_encrypted = LazyAttribute(lambda key: secret_encrypt(key.secret))


class AssetFactory(DjangoModelFactory[Asset]):
    """A currency, or the one that has this code already."""

    class Meta:
        model = Asset
        django_get_or_create = ("code",)

    code = Sequence(lambda n: f"A{n}")
    name = LazyAttribute(lambda asset: asset.code.title())
    scale = LazyAttribute(lambda asset: SCALES.get(asset.code, SCALE))


class SymbolFactory(DjangoModelFactory[Symbol]):
    """A listed symbol with its assets: tick 0.01, lot 0.0001."""

    class Meta:
        model = Symbol

    class Params:
        codes = LazyAttribute(lambda symbol: symbol.code.split("-"))

    code = "BTC-USDT"
    base = SubFactory(AssetFactory, code=LazyAttribute(lambda one: one.factory_parent.codes[0]))
    quote = SubFactory(AssetFactory, code=LazyAttribute(lambda one: one.factory_parent.codes[1]))
    tick = Decimal("0.01")
    lot = Decimal("0.0001")
    quantity_min = Decimal("0.0001")
    quantity_max = Decimal(1_000)
    notional_min = Decimal(1)
    price_min = Decimal("0.01")
    price_max = Decimal(1_000_000)


class FeeScheduleFactory(DjangoModelFactory[FeeSchedule]):
    """The fees of every tier on every symbol, unless it is given one."""

    class Meta:
        model = FeeSchedule

    maker_ppm = 500
    taker_ppm = 1_000


class BrandFactory(DjangoModelFactory[Brand]):
    """A front of its own name; `default`: the one for hosts that no brand has."""

    class Meta:
        model = Brand

    class Params:
        default = Trait(slug="main", name="Main", is_default=True)

    slug = Sequence(lambda n: f"brand-{n}")
    name = LazyAttribute(lambda brand: brand.slug.title())


def funds_give(account_id: int, asset_id: int, amount: Decimal | int | str) -> None:
    """Credit an account from the outside world, once for each asset."""
    key = f"fund:{account_id}:{asset_id}"
    funds_deposit(account_id=account_id, asset_id=asset_id, amount=Decimal(amount), key=key)


def accounts_at(*account_ids: int) -> None:
    """Accounts under these very ids, for rows that a test writes by hand."""
    known = set(Account.objects.filter(pk__in=account_ids).values_list("pk", flat=True))
    for account_id in sorted(set(account_ids) - known):
        AccountFactory.create(pk=account_id)
