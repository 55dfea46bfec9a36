"""Sign-in with a password, the same for every page (docs/limits.md).

Enters: a name and a password. Leaves: a session, or a refusal that says when to try again.
Transaction: none; each attempt is a security event, which is a row of its own.
Invariants: attempts are counted before a password is checked, by account and by network.
Healed by: the user, who waits; with Redis away each process counts for itself.
"""
