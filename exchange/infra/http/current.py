"""The request that is being answered, for the record of who did what from where."""

from contextvars import ContextVar
from typing import Final

from django.http import HttpRequest

# Set by the outermost middleware; without one (a command, a task) there is none.
current_request: Final[ContextVar[HttpRequest | None]] = ContextVar("current_request", default=None)
