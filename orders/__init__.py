"""An order's life: asked for, accepted, told to the engine, recorded, settled, shown.

Enters: an authenticated request. Leaves: an answer, frames, ledger entries through `wallets`.
Transaction: three, one after another: intake's, the matching worker's, settlement's.
Invariants: O1 to O5, S1, S2; each transaction reads what the one before it has committed.
Healed by: readers with a cursor in Postgres: sweep, restore, beat. Each may die at any line.
"""
