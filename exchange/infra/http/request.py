"""Requests whose body was read before there was a request: what the event loop answers."""

import io

from django.core.handlers.wsgi import WSGIRequest, get_path_info
from django.urls import ResolverMatch

from exchange.infra.http.wsgi import Environ, content_type_of


class CompleteRequest(WSGIRequest):
    """Django's request of an environ of ours (`environ_of`), its body in one piece.

    Its views and middlewares see what they see of Django's own request. That one copies the body
    through two streams and looks for a script name, which our environs do not have. No cookie
    can authenticate what the loop answers, so the request has none.
    """

    _read_started = False

    def __init__(self, environ: Environ, body: bytes, match: ResolverMatch) -> None:
        path = environ["PATH_INFO"]
        if not path.isascii():
            path = environ["PATH_INFO"] = get_path_info(environ)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_COOKIE", None)
        self.META = self.environ = environ
        self.path = self.path_info = path
        self.method = environ["REQUEST_METHOD"]
        self.content_type, self.content_params = content_type_of(environ.get("CONTENT_TYPE", ""))
        self._body = body
        self._stream = io.BytesIO(body)
        self.resolver_match = match
