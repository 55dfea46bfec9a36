"""Parts of load generators: many connections from one thread, and latencies in little memory.

Enters: signed requests, durations. Leaves: answers, percentiles.
Transaction: none.
Invariants: of the exchange it imports only the public client.
Healed by: the caller, who learns of a lost request and knows whether it may be repeated.
"""
