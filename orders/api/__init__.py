"""Orders over HTTP: a view parses, asks one service or selector, and answers.

Enters: an authenticated request. Leaves: JSON, or problem+json.
Transaction: none here.
Invariants: views decide nothing about orders; the documented contract is held by a test.
Healed by: the client. A refused order leaves a counter and a line in the log.
"""
