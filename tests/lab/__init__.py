"""Benches, crash rig, replays, conformance: what a product reader need not pass.

Enters: recordings, seeds, a stack of its own. Leaves: numbers and verdicts.
Transaction: none of its own but on scratch databases; it trades through the public API or intake.
Invariants: the product never imports it, but for the doors of config/lab_door.py.
Healed by: nobody. A failed run names the seed that repeats it.
"""
