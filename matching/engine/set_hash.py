"""One number for a set of values, kept up to date value by value."""

from hashlib import blake2b
from typing import Final

HASH_BYTES: Final = 32
MODULUS: Final = 1 << (8 * HASH_BYTES)


def contribution(text: str) -> int:
    """Return the hash of one value, to be added to others modulo MODULUS."""
    return int.from_bytes(blake2b(text.encode(), digest_size=HASH_BYTES).digest())


class SetHash:
    """The sum of the hashes of values: in which order they came does not matter.

    A value that is replaced or taken away costs the same among three and among 100,000. Keys only
    tell the values of a kind apart; what identifies a value has to be in it.
    """

    __slots__ = ("_contributions", "total")

    def __init__(self) -> None:
        self.total = 0
        self._contributions: dict[tuple[str, object], int] = {}

    def put(self, kind: str, key: object, value: object | None) -> None:
        """Take over a value as it is now; None when it is gone."""
        old = self._contributions.pop((kind, key), 0)
        new = 0
        if value is not None:
            new = self._contributions[kind, key] = contribution(f"{kind},{value}")
        self.total = (self.total + new - old) % MODULUS
