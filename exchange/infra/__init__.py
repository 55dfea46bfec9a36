"""Drivers and process plumbing: Postgres, Redis, logs, metrics, health, partitions, rate limits.

Enters: settings and calls of all roles. Leaves: connections, Redis clients, probes, partitions.
Transaction: the caller's. Partitions are made and detached in short transactions of their own.
Invariants: one place makes Redis clients; losing Redis costs latency only; ids fit a partition.
Healed by: the next call, after a short pause; `ensure_partitions` by beat makes partitions ahead.
"""
