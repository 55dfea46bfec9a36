"""Users that are programs: their accounts, funds and API keys.

The keys of the demonstration's makers lie in a file of mode 0600 in the data folder, for the
market generator alone; a secret is never printed or logged.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec
from django.db import transaction

from config.demo.client import Credentials
from exchange.access.secrets import secret_encrypt
from exchange.models import ApiKey, Asset, Tier, User
from wallets.services import account_open, funds_deposit

KEYS_NAME: Final = "demo-keys.json"
_KEY_LABEL: Final = "takas tools"


@dataclass(frozen=True, slots=True)
class Bot:
    """A user that trades by API, with the key it signs with."""

    name: str
    user_id: int
    account_id: int
    credentials: Credentials


@transaction.atomic
def bots_ensure(names: Sequence[str], tier: Tier) -> list[Bot]:
    """Return these users, made where they are missing, each with a fresh API key.

    Their older keys of this kind are removed: a run's secrets live as long as the run.
    """
    bots = []
    for name in names:
        user, is_new = User.objects.get_or_create(username=name, defaults={"tier": tier})
        if is_new:
            user.set_unusable_password()
            user.save(update_fields=["password"])
        account = account_open(user_id=user.pk)
        bots.append(Bot(name, user.pk, account.pk, key_renew(user)))
    return bots


def key_renew(user: User) -> Credentials:
    """Replace the user's tool key by a new one and return its secret, this once."""
    ApiKey.objects.filter(user=user, label=_KEY_LABEL).delete()
    credentials = Credentials(f"tools-{secrets.token_hex(8)}", secrets.token_urlsafe(32))
    ApiKey.objects.create(
        key_id=credentials.key,
        user=user,
        label=_KEY_LABEL,
        secret_encrypted=secret_encrypt(credentials.secret),
        can_trade=True,
    )
    return credentials


def funds_ensure(account_id: int, funds: Mapping[str, Decimal], *, key: str) -> None:
    """Deposit these amounts by asset code, once per key."""
    for code, amount in funds.items():
        asset_id = Asset.objects.values_list("pk", flat=True).get(code=code)
        funds_deposit(
            account_id=account_id,
            asset_id=asset_id,
            amount=amount,
            key=f"{key}:{account_id}:{code}",
        )


def keys_write(path: Path, keys: Mapping[str, Credentials]) -> None:
    """Write keys by user name into a file that only its owner can read."""
    content = msgspec.json.encode({name: [one.key, one.secret] for name, one in keys.items()})
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    fresh.replace(path)


def keys_read(path: Path) -> dict[str, Credentials]:
    """Read the file of `keys_write`. Raises OSError, or ValueError for any other content."""
    content = msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[str, str]])
    return {name: Credentials(key, secret) for name, (key, secret) in content.items()}
