"""Commands whose code is in tests/lab, which only a checkout of the repository has."""

from argparse import ArgumentParser
from importlib import import_module
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError, CommandParser


class LabCommand(BaseCommand):
    """Hands everything to the `Command` of a module in tests/lab, which is imported on use."""

    module: ClassVar[str]

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return the parser of the command behind the door."""
        return self._behind().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add nothing: the command behind the door adds its own arguments."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command behind the door."""
        return self._behind().execute(*args, **options)

    def _behind(self) -> BaseCommand:
        try:
            module = import_module(self.module)
        except ModuleNotFoundError as error:
            if error.name is None or not self.module.startswith(error.name):
                raise
            raise CommandError(
                f"this command needs {self.module}: run it in a checkout of the repository"
            ) from error
        command: BaseCommand = module.Command()
        return command
