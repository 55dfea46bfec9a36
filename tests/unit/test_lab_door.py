"""Commands whose code is in tests/lab: usable in a checkout, a clear refusal elsewhere."""

import pytest
from django.core.management.base import CommandError

from config.lab_door import LabCommand
from config.management.commands import bench


class Absent(LabCommand):
    module = "tests.lab.absent.command"


def test_what_is_not_installed_is_said() -> None:
    with pytest.raises(CommandError, match="in a checkout of the repository"):
        Absent().create_parser("manage.py", "absent")


def test_the_command_behind_the_door_takes_its_own_words() -> None:
    parser = bench.Command().create_parser("manage.py", "bench")
    assert parser.parse_args(["--users", "6"]).users == 6
