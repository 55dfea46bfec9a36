"""Keyset cursors: opaque, signed, and valid only for the list and account they were made for."""

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, TypeVar

from django.conf import settings

from exchange.domain.codes import Code
from exchange.domain.errors import DomainError

T = TypeVar("T")

_ID_BYTES: Final = 8
_TAG_BYTES: Final = 12


@cache
def _key() -> bytes:
    return hmac.digest(str(settings.SECRET_KEY).encode(), b"exchange.api.pagination", "sha256")


def cursor_make(last_id: int, *, scope: str) -> str:
    """Return the cursor after an item; `scope` names the list, such as orders of an account."""
    data = last_id.to_bytes(_ID_BYTES, "big")
    return base64.urlsafe_b64encode(data + _tag(data, scope)).decode().rstrip("=")


def cursor_read(text: str | None, *, scope: str) -> int | None:
    """Return the id in a cursor; None where `text` is None. Raises request.field_invalid."""
    if text is None:
        return None
    refusal = DomainError(Code.REQUEST_FIELD_INVALID, field="cursor", rule="a cursor of this list")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise refusal from error
    if len(data) != _ID_BYTES + _TAG_BYTES or not hmac.compare_digest(
        data[_ID_BYTES:], _tag(data[:_ID_BYTES], scope)
    ):
        raise refusal
    return int.from_bytes(data[:_ID_BYTES], "big")


def page_of(
    found: Sequence[T], *, limit: int, scope: str, last_id: Callable[[T], int]
) -> tuple[Sequence[T], str | None]:
    """Return the items of a page and the cursor of the next one, if there is a next one.

    `found` was asked for one item more than `limit`: that item tells whether there is a next page.
    """
    items = found[:limit]
    return items, cursor_make(last_id(items[-1]), scope=scope) if len(found) > limit else None


def _tag(data: bytes, scope: str) -> bytes:
    return hmac.digest(_key(), scope.encode() + b"\n" + data, "sha256")[:_TAG_BYTES]
