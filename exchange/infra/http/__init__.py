"""HTTP below the API: addresses, heads, bodies, connections, threads, request ids, headers.

Enters: bytes and heads from the event loop. Leaves: a complete request for a WSGI thread, a reply.
Transaction: none.
Invariants: heads, bodies, connections and threads are bounded; no network starves the others.
Healed by: the client, who asks again; the supervisor restarts a web process that dies.
"""
