"""A partition after a restart: its lease, its engine, its feeds, its faults, its snapshots.

Enters: the newest snapshot and the journal after it, or rows of open orders. Leaves: an engine.
Transaction: one takes the lease's epoch; one writes the halts of doubtful symbols.
Invariants: B3 and D1: the state hash is the last batch's; an older epoch changes no row.
Healed by: an older snapshot, then the whole journal; else symbols halt, and cancels still work.
"""
