"""The walk of one order: which files of the product run between its request and its balances.

Enters: two traders on an empty exchange, all roles in one process. Leaves: files and functions.
Transaction: the product's own, on a scratch database that the caller empties.
Invariants: it records only code that runs for the order: no import, no start, no idle loop.
Healed by: running it again.
"""
