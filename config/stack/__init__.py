"""The whole exchange in one command: servers, schema, roles, and their supervisor.

Enters: options of `manage.py stack`. Leaves: running processes, and `stack.json` with their ports.
Transaction: none; migrations bring theirs.
Invariants: one stack a data folder, by a lock; no child outlives it, whatever ends it.
Healed by: the supervisor restarts a dead role, with back-off; the next start cleans up.
"""
