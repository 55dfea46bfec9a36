"""`manage.py bench`: what this exchange does on this machine, each part on a fresh stack."""

from config.lab_door import LabCommand


class Command(LabCommand):
    module = "tests.lab.bench.command"
