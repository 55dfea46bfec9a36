"""The back office: Django's admin for staff, with powers by permission (docs/back-office.md).

Enters: forms of staff who have signed in. Leaves: changed reference data, commands, records.
Transaction: one a form, with the record of the act in it.
Invariants: money and orders change through services alone; rows of the ledger are read-only.
Healed by: staff, who send the form again; the record says who did what.
"""
