"""One partition's loop: the only place where commands get their sequence.

Enters: unsequenced commands that Postgres confirms. Leaves: a batch to commit, then to publish.
Transaction: one a batch, behind the ports; nothing is published before its commit.
Invariants: a command is sequenced once; O1; the stream is never believed; halts go first.
Healed by: whatever fails ends the process; the next one restores from committed rows.
"""
