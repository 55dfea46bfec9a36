"""The engine alone under load: benches and public conformance files.

Enters: made-up loads or files of messages. Leaves: messages a second, a hash of the reports.
Transaction: none: no database is used.
Invariants: the same file gives the same hash, on every machine and in every version of the rules.
Healed by: running it again.
"""
