"""Reservations, balances and ledger in memory, and their invariants after settlement."""
