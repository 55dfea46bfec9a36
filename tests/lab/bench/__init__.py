"""Benches of the parts and of the whole: `manage.py bench`, `bench_settlement`.

Enters: options, a fresh stack or a scratch database. Leaves: figures on standard output.
Transaction: the product's own; accounts are funded through its services.
Invariants: it never runs on a stack that serves users; load comes from other processes.
Healed by: running it again; it stops its own stack and drops its scratch database.
"""
