"""The whole exchange in one command: servers, schema, roles, and their supervisor.

Enters: options of `manage.py stack`. Leaves: running processes, and `stack.json` that tells where.
Transaction: none; migrations bring theirs.
Invariants: one stack a data folder, by a lock; no child outlives it, whatever ends it.
Healed by: the supervisor starts a role that died again, with back-off; a second start cleans up.
"""
