"""The feed to browsers: frames, one Redis subscription a process, replicas, sockets, limits.

Enters: frames from Redis, messages of clients. Leaves: frames serialized once, to each socket.
Transaction: none. Logins are looked up in Postgres; money is never read.
Invariants: W1 sequences have no gap; W2 snapshot and deltas give the book; queues are bounded.
Healed by: a new snapshot after a gap; lost frames of a batch are published again by the worker.
"""
