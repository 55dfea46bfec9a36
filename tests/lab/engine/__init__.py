"""The engine alone under load: benches and public conformance files.

Enters: generated loads or files of messages. Leaves: messages a second, a hash of the reports.
Transaction: none; it uses no database.
Invariants: a file gives the same hash on every machine and under every rules version.
Healed by: running it again.
"""
