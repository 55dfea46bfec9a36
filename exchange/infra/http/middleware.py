"""The base of the middlewares of `web`."""

from collections.abc import Callable
from typing import ClassVar

from django.http import HttpRequest, HttpResponseBase


class Middleware:
    """Keeps the next handler, `get_response`; a subclass answers in `__call__`, in a thread."""

    sync_capable: ClassVar = True
    async_capable: ClassVar = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
