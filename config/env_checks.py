"""Checks of environment variables: each raises ValueError and says what the value must be."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from psycopg.conninfo import conninfo_to_dict


def no_check(_: Any) -> None:
    return None


def database_url(value: str) -> None:
    if urlsplit(value).scheme not in ("postgres", "postgresql"):
        raise ValueError("must begin with postgresql://")
    conninfo_to_dict(value)


def role_name(value: str) -> None:
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", value):
        raise ValueError("must be a plain role name such as takas_app")


def redis_url(value: str) -> None:
    if urlsplit(value).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must begin with redis://, rediss:// or unix://")


def fernet_keys(value: str) -> None:
    for key in value.split(","):
        Fernet(key.strip().encode())


def one_of(*allowed: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")

    return check


def between(low: int, high: int) -> Callable[[int], None]:
    def check(value: int) -> None:
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")

    return check


def origins(values: list[str]) -> None:
    for value in values:
        if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).netloc:
            raise ValueError(f"{value!r} must look like https://trade.example.com")


def websocket_url(value: str) -> None:
    if value and urlsplit(value).scheme not in ("ws", "wss"):
        raise ValueError("must begin with ws:// or wss://, or be empty")
