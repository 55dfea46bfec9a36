"""State: the engine's whole state as a hash and as a snapshot, and its journal as bytes. Pure.

Enters: an engine, commands, events. Leaves: a hash, snapshot bytes, MessagePack rows, and back.
Transaction: none here. Hash, snapshot and journal are written with the batch that made them.
Invariants: D1; equal states give equal bytes; old bytes stay readable; unknown versions refused.
Healed by: an older snapshot and the journal after it, then the whole journal.
"""
