"""Limits of an account's open orders on a symbol: the account's own limit, or the symbol's.

Enters: an account and a symbol. Leaves: a number for intake, which counts under its locks.
Transaction: a read, kept for seconds.
Invariants: an account's own limit comes before the symbol's; the engine decides in sequence.
Healed by: reading again after seconds; `symbol_rules_send_all` tells the engine each minute.
"""
