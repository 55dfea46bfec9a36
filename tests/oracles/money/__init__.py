"""Reservations, balances and ledger in memory, and what must hold of them after settlement."""
