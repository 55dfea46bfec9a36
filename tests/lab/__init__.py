"""Benches, the crash test, replays and conformance runs: tools beside the product.

Enters: recordings, seeds, a stack of its own. Leaves: figures and verdicts.
Transaction: none of its own except on scratch databases; it trades through the API or intake.
Invariants: the product never imports it, except through config/lab_door.py.
Healed by: nobody. A failed run prints the seed that repeats it.
"""
