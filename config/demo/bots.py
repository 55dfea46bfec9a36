"""Users that are programs: their accounts, funds and API keys.

The keys of the demonstration's makers lie in a file of mode 0600 in the data folder, for the
market generator alone; a secret is never printed or logged.
"""

import os
import secrets
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from config.demo.client import Credentials
from exchange.access.secrets import secret_encrypt
from exchange.models import ApiKey, Asset, User
from wallets.services import funds_deposit

KEYS_NAME: Final = "demo-keys.json"
_KEY_LABEL: Final = "takas tools"


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
