"""The base of all apps: users, symbols, requests that come in, and frames that go out.

Enters: HTTP requests, WebSocket clients, staff's changes. Leaves: principals, symbols, answers.
Transaction: one for each change of the catalogue, of a key or of a login; none for a request.
Invariants: exchange imports no other app; its packages are layers; every refusal has a code.
Healed by: the caller, who asks again; the copies of a process are read again after seconds.
"""
