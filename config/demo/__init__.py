"""The demonstration: seeded reference data, users that are programs, and a living market.

Enters: a seed, or a recording. Leaves: rows of reference data, and orders through the public API.
Transaction: seeding uses the same services as staff, one transaction each.
Invariants: a repeated step changes nothing, also where staff made changes since.
Healed by: running `seed_demo` again. The makers are started again by the supervisor.
"""
