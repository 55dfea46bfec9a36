"""The crash test: kills parts of a stack during trading and proves that nothing is lost.

Enters: a number of kills and a seed. Leaves: a verdict, with evidence of what differs.
Transaction: none of its own; it reads what the killed processes have committed.
Invariants: what a client was told is in the database; the audit is green in the end.
Healed by: the supervisor, which is what is tested. The seed repeats the run.
"""
