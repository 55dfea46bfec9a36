"""The matching worker: one partition's loop, the only place where commands get their sequence.

Enters: unsequenced commands that Postgres confirms. Leaves: a batch to commit, then to publish.
Transaction: one a batch, behind the ports; nothing is published before its commit.
Invariants: a command is sequenced once; O1; the stream is only a hint; urgent halts go first.
Healed by: any failure ends the process; the next process restores from committed rows.
"""
