"""The project: settings, roles, addresses, and the stack that starts them all.

Enters: the environment, read by `env.py` alone. Leaves: the applications that servers run.
Transaction: none.
Invariants: nothing imports from here but entry points; .env.example names every variable.
Healed by: a wrong setting ends the process at its start, with a text that names the setting.
"""
