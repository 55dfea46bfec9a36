"""Play a recording of a market through the exchange and compare the trades.

Enters: a recording, a speed, and whether orders go through the API or through intake.
Leaves: the differences between the trades of the recording and those of the exchange.
Transaction: the product's own.
Invariants: every order of the recording is sent once; the audit is green afterwards.
Healed by: running it again on a fresh stack.
"""
