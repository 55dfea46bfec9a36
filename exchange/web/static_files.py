"""Static files on the event loop: known at start, answered by path, read by the server.

An answer takes no thread and reads no file here. It passes the same middlewares as in a thread.
Threads answer parts of files, and all files where the list may change while the process runs
(`WHITENOISE_AUTOREFRESH`). Tests send the same requests both ways.
"""

from pathlib import Path
from typing import Final

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.security import SecurityMiddleware
from django_prometheus.middleware import PrometheusBeforeMiddleware
from whitenoise.middleware import WhiteNoiseMiddleware

from exchange.infra.http.request_id import RequestIdMiddleware
from exchange.infra.http.security import ContentSecurityPolicyMiddleware
from exchange.infra.http.wsgi import Environ, Messages, answer_bare, body_put
from exchange.web.middlewares import HostMiddleware

_READS: Final = ("GET", "HEAD")


class StaticFiles:
    """Answers GET and HEAD requests of whole static files."""

    def __init__(self) -> None:
        self._files = WhiteNoiseMiddleware(lambda request: HttpResponse()).files
        secured = SecurityMiddleware(ContentSecurityPolicyMiddleware(self._head))
        self._outermost = RequestIdMiddleware(HostMiddleware(PrometheusBeforeMiddleware(secured)))

    def has(self, environ: Environ) -> bool:
        """Return whether `answer` takes this request."""
        return (
            environ["PATH_INFO"] in self._files
            and environ["REQUEST_METHOD"] in _READS
            and "HTTP_RANGE" not in environ
        )

    def answer(self, environ: Environ) -> Messages:
        """Return the answer: its head, and the path of the file for a GET."""
        body_put(environ, b"")
        response = self._outermost(WSGIRequest(environ))
        assert isinstance(response, HttpResponse)
        body: bytes | Path = response.content
        if environ["REQUEST_METHOD"] == "HEAD":
            body = b""
        elif response.status_code == 200:
            path, _ = self._files[environ["PATH_INFO"]].get_path_and_headers(environ)
            body = Path(path)
        return answer_bare(response.status_code, response.headers.items(), body)

    def _head(self, request: HttpRequest) -> HttpResponseBase:
        """Return the status and headers of WhiteNoise, without opening the file."""
        found = self._files[request.path_info].get_response("HEAD", request.META)
        response = HttpResponse(status=int(found.status))
        del response["Content-Type"]
        for name, value in found.headers:
            response[name] = value
        return response
