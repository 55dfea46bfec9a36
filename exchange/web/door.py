"""The door of `web`: an ASGI application that lets only complete requests in to a WSGI application.

The door runs on the server's event loop. It checks the head, refuses by the head alone whatever it
can, and reads the whole body under bounds (exchange/infra/http/bodies.py). Then the loop answers
the requests that programs send most (exchange/web/on_loop.py) and static files
(exchange/web/static_files.py), and a thread answers all others (docs/adr/0030).
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from prometheus_client import Gauge

from exchange.api.errors import CONTENT_TYPE, LOGGED_CHARACTERS_MAX, headers, problem_of
from exchange.api.keys import head_check
from exchange.api.requests import BODY_BYTES_MAX, BODY_BYTES_MAX_AT
from exchange.api.resources import Resource
from exchange.domain.codes import Code
from exchange.domain.errors import DomainError
from exchange.infra.event_loop import Threads
from exchange.infra.http.address import environ_network
from exchange.infra.http.bodies import Bodies, ClientGone, Receive
from exchange.infra.http.request_id import HEADER, REQUEST_ID, request_id_choose
from exchange.infra.http.security import POLICY
from exchange.infra.http.wsgi import (
    Application,
    Environ,
    Messages,
    answer_of,
    environ_of,
    messages_of,
)
from exchange.infra.metrics import WEB_REFUSED, WEB_REQUESTS, WEB_SIGN_INS
from exchange.signin.wait_page import is_sign_in, wait_page
from exchange.web.areas import EVERYTHING, Area
from exchange.web.on_loop import OnLoop
from exchange.web.static_files import StaticFiles

API_PREFIX: Final = "/api/"
REQUESTS_MAX: Final = 1_024  # handed over and not answered: in threads, or waiting for one
# One in so many threads is kept from any single network; the networks that wait take turns.
OTHERS_SHARE: Final = 4
# Attempts to sign in have threads of their own, so that they cannot take those of other requests.
# These are more than may wait for a hash (exchange/signin/hashing.py), so that some can refuse.
SIGN_IN_THREADS: Final = 8
SIGN_INS_MAX: Final = 64  # handed over and not answered; more are told to retry
SIGN_IN_AGAIN_S: Final = 1
# Then the request is refused: Postgres ends a statement after 10 s, unless Postgres stands still.
ANSWER_S: Final = 30.0
_READS: Final = ("GET", "HEAD", "OPTIONS")
_LENGTH: Final = re.compile(r"[0-9]{1,12}", re.ASCII).fullmatch
_WHOLE_BODY: Final = "a body as long as Content-Length"

log = structlog.get_logger(__name__)
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Door:
    """An ASGI application around a WSGI one; the loop answers `resources` and files itself.

    It refuses what is not of its area.
    """

    def __init__(
        self,
        application: Application,
        *,
        threads: int,
        area: Area = EVERYTHING,
        resources: Sequence[Resource] = (),
        static: StaticFiles | None = None,
        bodies: Bodies | None = None,
        requests_max: int = REQUESTS_MAX,
        sign_ins_max: int = SIGN_INS_MAX,
    ) -> None:
        self._application = application
        self._area = area
        self._on_loop = OnLoop(resources)
        self._static = static
        self.bodies = Bodies() if bodies is None else bodies
        share = threads - threads // OTHERS_SHARE
        self.threads = self._threads(threads, share, "request", requests_max, WEB_REQUESTS)
        self.sign_ins = self._threads(
            SIGN_IN_THREADS, SIGN_IN_THREADS, "sign-in", sign_ins_max, WEB_SIGN_INS
        )

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", scope["type"]
        start, body = await self._answer(scope, receive)
        await send(start)
        await send(body)

    async def _answer(self, scope: dict[str, Any], receive: Receive) -> Messages:
        environ: Environ = {}
        try:
            environ = environ_of(scope)
            if not self._area.serves(environ["PATH_INFO"]):
                raise DomainError(Code.REQUEST_MISDIRECTED, serves=self._area.name)
            body = await self._body(environ, receive)
            found = self._on_loop.find(environ)
            if found is not None:
                return await self._on_loop.answer(environ, body, found)
            if self._static is not None and self._static.has(environ):
                return self._static.answer(environ)
            return await self._in_thread(environ, body)
        except ClientGone:  # the client may have closed its half only, and still read
            refusal = DomainError(Code.REQUEST_HEAD_MALFORMED, rule=_WHOLE_BODY)
            return _refused(refusal, environ, told_as="client_gone")
        except Exception as error:
            return _failed(error, environ)

    def _threads(
        self, number: int, share: int, name: str, waiting_max: int, busy: Gauge
    ) -> Threads[tuple[Environ, bytes], Messages]:
        return Threads(
            number,
            self._respond,
            name=name,
            waiting_max=waiting_max,
            answer_s=ANSWER_S,
            busy=busy,
            share=share,
        )

    async def _in_thread(self, environ: Environ, body: bytes) -> Messages:
        signs_in = is_sign_in(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        threads = self.sign_ins if signs_in else self.threads
        try:
            return await threads.call((environ, body), environ_network(environ))
        except DomainError:  # too many requests wait
            if signs_in:
                return _sign_in_later()
            raise
        except TimeoutError:  # the thread may still do its work
            is_reader = environ["REQUEST_METHOD"] in _READS
            code = Code.ENGINE_UNAVAILABLE if is_reader else Code.ENGINE_OUTCOME_UNKNOWN
            raise DomainError(code) from None

    async def _body(self, environ: Environ, receive: Receive) -> bytes:
        length = _length_of(environ)
        if "HTTP_X_TAKAS_KEY" in environ and environ["PATH_INFO"].startswith(API_PREFIX):
            head_check(environ)
        if length == 0:
            return b""
        return await self.bodies.read(receive, length, partial(environ_network, environ))

    def _respond(self, request: tuple[Environ, bytes]) -> Messages:
        try:
            return messages_of(self._application, *request)
        except Exception as error:
            return _failed(error, request[0])


def _length_of(environ: Environ) -> int:
    """Return the length of the body in bytes; raises where it is unknown or too large."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        raise DomainError(Code.REQUEST_LENGTH_REQUIRED)
    text = environ.get("CONTENT_LENGTH", "0")
    if not _LENGTH(text):
        raise DomainError(Code.REQUEST_HEAD_MALFORMED, rule="Content-Length a number")
    path = environ["PATH_INFO"]
    bytes_max = (
        BODY_BYTES_MAX_AT.get(path, BODY_BYTES_MAX)
        if path.startswith(API_PREFIX)
        else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    )
    length = int(text)
    if length > bytes_max:
        raise DomainError(Code.REQUEST_TOO_LARGE, bytes_max=bytes_max)
    return length


def _sign_in_later() -> Messages:
    """Return the page that asks a person to wait: too many sign-ins; it needs no thread."""
    WEB_REFUSED.labels(Code.AUTH_TOO_MANY_ATTEMPTS.value).inc()
    body, told = wait_page(SIGN_IN_AGAIN_S)
    fields = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": POLICY.format(socket=""),
        "x-content-type-options": "nosniff",
        **told,
    }
    return answer_of(429, fields.items(), body)


def _failed(error: Exception, environ: Environ) -> Messages:
    """Return the answer where no view could give one; log a fault of our own."""
    if isinstance(error, SuspiciousOperation):  # Django refuses such requests
        error = DomainError(Code.REQUEST_MALFORMED)
    if isinstance(error, DomainError):
        return _refused(error, environ, told_as=error.code.value)
    environ.setdefault(REQUEST_ID, request_id_choose(environ.get("HTTP_X_REQUEST_ID")))
    path = environ.get("PATH_INFO", "")[:LOGGED_CHARACTERS_MAX]
    log.error("web.fault", path=path, request_id=environ[REQUEST_ID], exc_info=error)
    return _refused(DomainError(Code.INTERNAL_ERROR), environ, told_as=Code.INTERNAL_ERROR.value)


def _refused(refusal: DomainError, environ: Environ, *, told_as: str) -> Messages:
    """Return the refusal of a request; the connection ends, as its rest was not read."""
    WEB_REFUSED.labels(told_as).inc()
    request_id = environ.get(REQUEST_ID) or request_id_choose(environ.get("HTTP_X_REQUEST_ID"))
    body = msgspec.json.encode(problem_of(refusal, request_id))
    fields = {
        "content-type": CONTENT_TYPE,
        "cache-control": "no-store",
        "connection": "close",
        "x-content-type-options": "nosniff",
        HEADER: request_id,
        **headers(refusal),
    }
    return answer_of(refusal.http_status, fields.items(), body)
