"""Foundation of the HTTP API: authentication, admission, errors, cursors, schema, reference data.

Enters: a complete request. Leaves: a principal for the view, and JSON or problem+json.
Transaction: the view's service opens it. Admission costs one round trip to Redis at most.
Invariants: every refusal has a code; every answer carries a request id; every route has a weight.
Healed by: the client. With Redis away, limits count within each process.
"""
