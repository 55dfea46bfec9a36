"""Reads of orders, lists, commands, fills and prevented matches, and the text that shows them.

Enters: an account and what it asks for. Leaves: JSON values, also for the worker's frames.
Transaction: one statement where an answer must agree with itself.
Invariants: every read of an account's rows names the account; amounts are exact decimals.
Healed by: nothing is kept here.
"""
