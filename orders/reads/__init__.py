"""Reads of orders, lists, commands, fills and prevented matches, and the text that shows them.

Enters: an account and what it asks for. Leaves: JSON values. Also the worker's frames use it.
Transaction: one statement where an answer must agree with itself.
Invariants: what belongs to an account is asked for with it; amounts are exact decimals.
Healed by: nothing is kept here.
"""
