"""The audit: every invariant that a live database can show, without the code that it checks.

Enters: rows of orders, journal, ledger and checkpoints. Leaves: a report of breaches.
Transaction: one read-only snapshot; a second one moves the verified marks if all is green.
Invariants: checks L1 to L6, O1, O2, B3, S1.
Healed by: beat runs it every minute; a breach asks `orders.tasks.symbols_freeze` for halts.
"""
