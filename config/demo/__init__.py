"""The demonstration: seeded reference data, users that are programs, and a living market.

Enters: a seed, or a recording. Leaves: rows of reference data, and orders through the public API.
Transaction: seeding uses the same services as staff, one transaction each.
Invariants: every step can be repeated and then changes nothing, also where staff changed things.
Healed by: running `seed_demo` again. The makers are started again by the supervisor.
"""
