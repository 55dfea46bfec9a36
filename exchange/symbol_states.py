"""The SQL of a symbol's market state, the only column of the catalogue that the engine changes."""

from typing import Final

# Parameters: state, symbol id. Runs in the transaction that records the engine's events.
FOLLOW: Final = "UPDATE exchange_symbol SET state = %s WHERE id = %s"
