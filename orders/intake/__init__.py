"""Group commit: one thread turns the requests of the moment into one transaction.

Enters: jobs with everything decided that needs no lock. Leaves: rows, commands, answers.
Transaction: claim ids, lock, read, decide in arrival order, write, COMMIT; then publish and answer.
Invariants: L4, L7, O1; a refused job never fails its neighbours; nothing leaves before the commit.
Healed by: the worker's sweep where the stream lost it; after an unknown commit, the client asks.
"""
