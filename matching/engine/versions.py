"""Versions of the engine's rules: a journal row is replayed under the version of its first run.

A mended rule changes the events of an old command. So each journal row has the version that made
its events (`Sequenced.rules`), a replay sets this version first (`Engine.apply_again`), and the
code keeps the behaviour of each version, by `book.rules`. New commands run under RULES_NOW.
"""

from typing import Final

RULES_FIRST: Final = 1  # also of rows that were written without a version
# What RULES_MENDED changed: released orders see no earlier price; auctions take prevented matches
# out first; no market order outlives its auction; nothing trades outside a band; limits count all
# orders of a list; one code for budgets that self-trade prevention spent; an iceberg's age is that
# of its first slice; an amend to an iceberg opens advanced state.
RULES_MENDED: Final = 2
RULES_NOW: Final = RULES_MENDED
