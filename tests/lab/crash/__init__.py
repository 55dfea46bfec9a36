"""The crash test: kills parts of a stack during trading and proves that nothing is lost.

Enters: a number of kills and a seed. Leaves: a verdict that lists every fault.
Transaction: none of its own; it reads what the killed processes have committed.
Invariants: every acknowledged order and cancel is in the database; the audit ends green.
Healed by: the supervisor, which is under test. The seed repeats the run.
"""
