"""A symbol's market state: the one column of the catalogue that the engine changes, not staff."""

from typing import Final

# Takes the state and the symbol's id, in the transaction that records what the engine did.
FOLLOW: Final = "UPDATE exchange_symbol SET state = %s WHERE id = %s"
