"""The engine's results made durable: orders, trades, answers, journal, checkpoint, frames.

Enters: a batch of events; unsequenced rows come from here. Leaves: rows, and frames to publish.
Transaction: one a batch, two round trips, fenced by `WHERE epoch = mine`.
Invariants: O2 to O5, W1, W3; all rows of a batch stand or fall together.
Healed by: any error ends the process; frames after `published_seq` go out again.
"""
