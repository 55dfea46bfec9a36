"""The ground that all apps stand on: who trades what, and how requests come in and frames go out.

Enters: HTTP requests, WebSocket clients, staff's changes. Leaves: principals, symbols, answers.
Transaction: one for each change of the catalogue, of a key or of a login; none for a request.
Invariants: it imports no other app; its packages are layers; every refusal has a code.
Healed by: the caller, who asks again; copies that a process keeps are read again after seconds.
"""
