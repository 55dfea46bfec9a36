"""What the house does to a market: states, rules, schedules, cancels, suspensions, halts.

Enters: acts of staff, the clock, an alarm. Leaves: commands for the engine, never an UPDATE.
Transaction: intake's; a schedule commits its mark with its command; a suspension is its own.
Invariants: one request at a time for a symbol's state; a schedule never ends a halt.
Healed by: beat sends due schedules, rules that differ, and cancels that a suspension missed.
"""
