"""What travels to the engine: built from a job, or again from the rows that the job left.

Enters: integers of an accepted request, or its rows. Leaves: a command of the engine.
Transaction: none.
Invariants: both ways give equal commands; words and the engine's integers stand in one table.
Healed by: a row that cannot be read is refused by name, or its symbol halts.
"""
