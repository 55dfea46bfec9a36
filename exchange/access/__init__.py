"""Principals, secrets of API keys, ends of logins, and the record of security events.

Enters: a key id or a session, or an act that ends a login. Leaves: a `Principal`, events, notices.
Transaction: a login's end and its event commit together; sockets are told after the commit.
Invariants: secrets are encrypted at rest; an ended login is refused after 2 s; events never change.
Healed by: changes of principals are asked for each second; sockets look their login up every ten.
"""
