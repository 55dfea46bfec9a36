"""`manage.py crash_test`: kill parts of a stack during trading, then prove that nothing is lost."""

from config.lab_door import LabCommand


class Command(LabCommand):
    module = "tests.lab.crash.command"
