"""Base of the views off the hot path: Django REST framework with this API's conventions."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchange.access.principals import Principal
from exchange.api.admission import rate_headers_add, request_admit
from exchange.api.errors import exception_handler
from exchange.api.keys import authenticate
from exchange.domain.codes import Code
from exchange.domain.enums import Scope
from exchange.domain.errors import DomainError


class JsonAlone(BaseContentNegotiation):
    """Content negotiation that always chooses JSON, as the plain views do."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, str(first.media_type)


View = Callable[..., HttpResponseBase]


class ApiView(APIView):
    """Base of a view: public, or for principals with its `scope` where it sets one.

    `session_only` refuses API keys with auth.scope_missing.
    """

    # exchange.api.keys authenticates: empty lists keep DRF from adding checks of its own.
    authentication_classes: ClassVar[list[type[BaseAuthentication]]] = []  # type: ignore[misc]
    permission_classes: ClassVar[list[type[BasePermission]]] = []  # type: ignore[misc]
    renderer_classes: ClassVar[list[type[BaseRenderer]]] = [JSONRenderer]  # type: ignore[misc]
    parser_classes: ClassVar[list[type[BaseParser]]] = [JSONParser]  # type: ignore[misc]
    content_negotiation_class = JsonAlone
    scope: ClassVar[Scope | None] = None
    session_only: ClassVar[bool] = False
    principal: Principal

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Authenticate before DRF: without authenticators it replaces the session's user by nobody.
        request_admit(request._request)
        if self.scope is not None:
            self.principal = authenticate(request._request, self.scope)
            if self.session_only and self.principal.key_id is not None:
                raise DomainError(Code.AUTH_SCOPE_MISSING, scope="session")
        super().initial(request, *args, **kwargs)

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Response:
        final = super().finalize_response(request, response, *args, **kwargs)
        rate_headers_add(request._request, final)
        return final

    def get_exception_handler(self) -> Callable[..., Any]:
        return exception_handler

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return a view that the middleware checks for CSRF like pages; DRF would exempt it."""
        view = super().as_view(**initkwargs)
        view.csrf_exempt = False
        return view


def documented_by(documentation: type[APIView]) -> Callable[[View], View]:
    """Describe a plain view in the schema by this class, which never serves a request."""

    def attach(view: View) -> View:
        view.cls = documentation  # type: ignore[attr-defined]  # what the schema generator reads
        view.initkwargs = {}  # type: ignore[attr-defined]
        return view

    return attach


def plain_request(request: Request) -> HttpRequest:
    """The Django request under DRF's."""
    return request._request
