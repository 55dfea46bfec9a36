"""The regression gate: what a piece of the order path costs, as ratios that no machine changes.

Enters: the committed ratios, a stack without roles. Leaves: a table, and the exit status.
Transaction: the product's own; accounts are funded through its services.
Invariants: a ratio compares processor times that were measured in turns, within milliseconds.
Healed by: whoever made it slower, or `make bench-gate UPDATE=1` where that is worth it.
"""
