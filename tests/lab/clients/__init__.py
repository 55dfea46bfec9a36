"""What load generators stand on: many connections from one thread, and latencies in little memory.

Enters: signed requests, durations. Leaves: answers, percentiles.
Transaction: none.
Invariants: it imports nothing of the exchange but its public client.
Healed by: the caller: a lost request is told as lost, and only the caller knows if it may repeat.
"""
