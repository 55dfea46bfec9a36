"""What the house does to a market: states, rules, schedules, cancels, suspensions, halts.

Enters: acts of staff, the clock, an alarm. Leaves: commands for the engine, never an UPDATE.
Transaction: intake's; a schedule commits its mark with its command; a suspension is its own.
Invariants: one asker at a time for a symbol's state; a schedule never ends a halt.
Healed by: beat sends what is due, what differs, and what a suspension's cancels missed.
"""
