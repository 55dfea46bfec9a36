"""Encryption of stored secrets with the keys of SECRETS_KEY; the first key encrypts new ones."""

from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class SecretUnreadable(Exception):
    """No key of SECRETS_KEY opens this secret."""


@cache
def _box() -> MultiFernet:
    keys = [key.strip() for key in str(settings.SECRETS_KEY).split(",") if key.strip()]
    return MultiFernet([Fernet(key) for key in keys])


def secret_encrypt(secret: str) -> bytes:
    """Return the secret, encrypted for storage."""
    return _box().encrypt(secret.encode())


def secret_decrypt(stored: bytes) -> bytes:
    """Return the secret's bytes; raises SecretUnreadable when no key opens it."""
    try:
        return _box().decrypt(bytes(stored))
    except InvalidToken as error:
        raise SecretUnreadable from error
