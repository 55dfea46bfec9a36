"""The ground of the views that are not hot: Django REST framework with this API's conventions."""

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
    """Every answer is JSON, whatever was asked for, as those of the plain views are."""

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
    """A public view; one that sets `scope` is for principals who have it."""

    # Authentication is ours (exchange.api.keys): these lists say that DRF adds none of its own.
    authentication_classes: ClassVar[list[type[BaseAuthentication]]] = []  # type: ignore[misc]
    permission_classes: ClassVar[list[type[BasePermission]]] = []  # type: ignore[misc]
    renderer_classes: ClassVar[list[type[BaseRenderer]]] = [JSONRenderer]  # type: ignore[misc]
    parser_classes: ClassVar[list[type[BaseParser]]] = [JSONParser]  # type: ignore[misc]
    content_negotiation_class = JsonAlone
    scope: ClassVar[Scope | None] = None
    session_only: ClassVar[bool] = False
    principal: Principal

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Before DRF, which replaces the session's user by nobody as it has no authenticators.
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
        """DRF exempts its views from CSRF checks; ours are checked by the middleware like pages."""
        view = super().as_view(**initkwargs)
        view.csrf_exempt = False
        return view


def documented_by(documentation: type[APIView]) -> Callable[[View], View]:
    """Let a plain view appear in the schema as this class describes it; it never serves."""

    def attach(view: View) -> View:
        view.cls = documentation  # type: ignore[attr-defined]  # what the schema generator reads
        view.initkwargs = {}  # type: ignore[attr-defined]
        return view

    return attach


def plain_request(request: Request) -> HttpRequest:
    """The Django request under DRF's."""
    return request._request
