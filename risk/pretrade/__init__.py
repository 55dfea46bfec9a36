"""Pre-trade checks of an order: the rules that need the market or the user.

Enters: a draft, its symbol's rules, the top of book from Redis. Leaves: the draft, or a refusal.
Transaction: none; the checks run before intake. The engine's own band and limits are final.
Invariants: rules are pure integers. With prices unknown, an order without a price is refused.
Healed by: the worker's next write of the top of book; the engine checks band and limits again.
"""
