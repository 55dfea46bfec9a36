"""Who asks, and until when: principals, key secrets, ends of logins, the record of security events.

Enters: a key id or a session, or an act that ends one. Leaves: a `Principal`, events, notices.
Transaction: a login's end and its event commit together; sockets are told after the commit.
Invariants: secrets are encrypted at rest; an end holds after two seconds; events never change.
Healed by: principals are read again within two seconds; sockets look their login up every ten.
"""
