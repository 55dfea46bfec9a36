"""A partition after a restart: its lease, its engine, its feeds, its faults, its snapshots.

Enters: the newest snapshot and the journal after it, or rows of open orders. Leaves: an engine.
Transaction: the lease takes its epoch in one; halts for what is doubtful are written in one.
Invariants: B3 and D1: the state hash is the last batch's; an older epoch changes no row.
Healed by: an older snapshot, then the whole journal; else symbols halt and orders can be cancelled.
"""
