"""Matching: a pure engine, the state from which it is rebuilt, and the loop that drives it.

Enters: commands that Postgres has accepted. Leaves: events, frames, a state hash.
Transaction: none of its own; the loop commits through a port that `orders` implements.
Invariants: D1: the same commands give the same events, on every machine. Rules: matching/README.md.
Healed by: a restart, from rows or from a snapshot and the journal after it.
"""
