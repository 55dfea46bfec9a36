"""A hash of a set of values that is kept up to date value by value."""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

HASH_BYTES: Final = 32
MODULUS: Final = 1 << (8 * HASH_BYTES)


def contribution(text: str) -> int:
    """Return the hash of one value; a set's hash is the sum of these modulo MODULUS."""
    return int.from_bytes(blake2b(text.encode(), digest_size=HASH_BYTES).digest())


@dataclass(slots=True, eq=False, repr=False)
class SetHash:
    """The sum of the hashes of values; the order in which values are put does not matter.

    Replacing or removing a value costs the same among three values and among 100,000. A key only
    finds the old value of its kind; it is not hashed, so the value must contain its own identity.
    """

    total: int = 0
    _contributions: dict[tuple[str, object], int] = field(default_factory=dict)

    def put(self, kind: str, key: object, value: object | None) -> None:
        """Set the value of a key; None removes it."""
        old = self._contributions.pop((kind, key), 0)
        new = 0
        if value is not None:
            new = self._contributions[kind, key] = contribution(f"{kind},{value}")
        self.total = (self.total + new - old) % MODULUS
