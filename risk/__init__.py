"""What is checked before an order, what an account may have open, and the audit of everything.

Enters: drafts of orders; rows of a live database. Leaves: refusals; a report of breaches.
Transaction: none before an order; the audit reads one snapshot.
Invariants: its three packages do not know each other; the audit shares no code with what it checks.
Healed by: a limit that staff changes counts in every process within seconds.
"""
