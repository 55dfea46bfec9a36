"""Risk: checks before an order, limits of an account's open orders, and the audit of all data.

Enters: drafts of orders; rows of a live database. Leaves: refusals; a report of breaches.
Transaction: none before an order; the audit reads one snapshot.
Invariants: the three packages do not import each other; the audit does not use the code it checks.
Healed by: a limit that staff changes is in force in every process within seconds.
"""
