"""`manage.py bench_settlement`: trades a second of settlement alone, on a scratch database."""

from config.lab_door import LabCommand


class Command(LabCommand):
    module = "tests.lab.bench.settlement"
