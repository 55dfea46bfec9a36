"""What a request asks for: place, amend, cancel, lists, cancel-after.

Enters: a principal and a parsed request. Leaves: one job for intake and its answer.
Transaction: intake's; nothing is written here.
Invariants: everything accepted is a row before it is answered; a repetition gives the same answer.
Healed by: the client repeats with its `client_order_id`.
"""
