"""Money: accounts, balances, reservations, and the ledger that explains all of them.

Enters: amounts to reserve, to release, to post. Leaves: ledger entries and new balances.
Transaction: the caller's. Rows are locked in one order: reservations, then balances.
Invariants: L1 to L7; entries of a transfer sum to zero; no balance of a user is below zero.
Healed by: nothing changes an entry. The audit compares balances with entries and halts symbols.
"""
