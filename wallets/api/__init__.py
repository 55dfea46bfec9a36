"""Balances over HTTP.

Enters: an authenticated request. Leaves: JSON, or problem+json.
Transaction: none; one statement reads.
Invariants: an account sees only its own balances; amounts are text, never floats.
Healed by: the client, who repeats the request.
"""
