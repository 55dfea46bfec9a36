"""Users of a bench or a replay, each with an account and a fresh API key."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from config.demo.bots import key_renew
from config.demo.client import Credentials
from exchange.models import Tier, User
from wallets.services import account_open


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
