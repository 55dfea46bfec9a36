"""Hot addresses of the API: each view is written once, and answers in a thread and on the loop.

A view is a coroutine function. On the event loop it awaits look-ups and commits. In a thread the
same awaits block instead, so the coroutine runs to its end at once (`off_loop`). Requests of
programs are answered on the loop (exchange/web/on_loop.py), requests with a session in a thread.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path
from rest_framework.views import APIView

from exchange.api.admission import rate_headers, request_admit
from exchange.api.answers import Answer, response_of
from exchange.api.base import documented_by
from exchange.api.errors import failed, problem_answer
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.event_loop import off_loop

HotView = Callable[..., Coroutine[Any, Any, Answer]]


@dataclass(frozen=True, slots=True)
class Resource:
    """One hot address: its path below /api/v1/ as Django writes it, and its views by method.

    `name` is its name in Django, by which its cost and its parameters are found
    (exchange/api/routes.py). `documentation` holds its documented contract.
    """

    path: str
    name: str
    views: Mapping[str, HotView]
    documentation: type[APIView]

    def pattern(self) -> URLPattern:
        """Return Django's pattern of this address, whose view runs in a thread."""
        view = in_thread(lambda method: self.views.get(method, self._method_refused))
        return path(self.path, documented_by(self.documentation)(view), name=self.name)

    async def _method_refused(self, request: HttpRequest, **words: str) -> Answer:
        refused = problem_answer(DomainError(Code.REQUEST_METHOD_NOT_ALLOWED), request)
        return refused._replace(headers={"Allow": ", ".join(self.views)})


def in_thread(view_of: Callable[[str], HotView]) -> Callable[..., HttpResponseBase]:
    """Return Django's view that runs a request's hot view in a thread; `view_of` takes its method.

    The middleware checks it for CSRF like pages.
    """

    def view(request: HttpRequest, /, **words: str) -> HttpResponseBase:
        return response_of(off_loop(answered(view_of(request.method or ""), request, words)))

    return view


async def answered(view: HotView, request: HttpRequest, words: Mapping[str, str]) -> Answer:
    """Return the view's answer, with its refusals and faults as problems and the rates' headers."""
    try:
        request_admit(request)
        answer = await view(request, **words)
    except Exception as error:
        answer = failed(error, request)
    rates = rate_headers(request)
    return answer._replace(headers={**answer.headers, **rates}) if rates else answer
