"""Validation of orders, lists and amends. Pure: it needs no database, Redis or engine.

Enters: requests as clients word them. Leaves: drafts in integers, a fingerprint, or a refusal.
Transaction: none.
Invariants: cheap checks first, the first refusal wins; equal orders have equal fingerprints.
Healed by: the client; each refusal names its field and code.
"""
