"""Versions of the engine's rules: a journal row is replayed under those it was applied under.

A mended rule changes what an old command gives. So every journal row names the version of the
rules that made its events (`codec.Sequenced.rules`), whoever applies it again sets it first, and
the code keeps what each version did, by `book.rules`. New commands run under RULES_NOW.
"""

from typing import Final

RULES_FIRST: Final = 1  # rows from before versions were written down
# Released orders see no earlier price; auctions take prevented matches out first; no market order
# outlives its auction; nothing trades outside a band; limits count lists whole; one word for what
# self-trade prevention ended; an amend that shows a part opens advanced state.
RULES_MENDED: Final = 2
RULES_NOW: Final = RULES_MENDED
