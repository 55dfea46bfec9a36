"""`manage.py replay FLOW`: a recorded market through the real exchange, compared and audited."""

from config.lab_door import LabCommand


class Command(LabCommand):
    module = "tests.lab.replay.command"
