"""The engine's events become ledger entries, balances and released reservations.

Enters: journal rows after the cursor. Leaves: entries, balances, reservations, the moved cursor.
Transaction: one a batch; reservations are locked first, balances in the last statement.
Invariants: L1 to L5, S1 by the cursor's position; nothing is clamped: a bug crashes before a write.
Healed by: beat every second; a task that runs twice finds nothing to do.
"""
