"""How many orders an account may have open: its own limit or everyone's.

Enters: an account and a symbol. Leaves: a number for intake, which counts under its locks.
Transaction: a read, kept for seconds.
Invariants: this copy never refuses whom staff gave more; the engine decides in sequence.
Healed by: reading again after seconds; `symbol_rules_send_all` tells the engine each minute.
"""
