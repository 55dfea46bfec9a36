"""What an order, a list or an amend may be, checked without asking anyone. Pure.

Enters: requests as clients word them. Leaves: drafts in integers, a fingerprint, or a refusal.
Transaction: none.
Invariants: cheap checks first, the first refusal wins; equal orders have equal fingerprints.
Healed by: the client, who is told the field and the code.
"""
