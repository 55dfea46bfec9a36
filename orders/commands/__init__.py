"""Commands for the engine, built from a job or rebuilt from the rows that the job wrote.

Enters: integers of an accepted request, or its rows. Leaves: a command of the engine.
Transaction: none.
Invariants: both ways give equal commands; each list of words has one table of engine integers.
Healed by: an unreadable row becomes a refusal of its order or command, or its symbol halts.
"""
