"""The matching engine: commands in, events out. Pure, integer, deterministic.

Enters: commands in sequence. Leaves: events. The rules are numbered in matching/README.md.
Transaction: none. Memory is at most one transaction ahead of Postgres.
Invariants: B1, B2, B4, B5 and D1. No clock, no chance, no I/O; impossible input asserts.
Healed by: the worker discards an engine that raised, and restores it from Postgres.
"""
