"""May this order come in: rules that need the market or the user.

Enters: a draft, its symbol's rules, the top of the book as Redis has it. Leaves: it, or a refusal.
Transaction: none, it runs before intake. The engine's own band and limits are final.
Invariants: rules are pure integers. With prices unknown, an order without a price is refused.
Healed by: the next write of the top by the worker; the engine checks what could not be checked.
"""
