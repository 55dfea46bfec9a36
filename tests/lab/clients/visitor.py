"""A person's browser, as far as the exchange can tell: cookies, forms and calls of the API."""

from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from typing import Final
from urllib.parse import urlencode, urlsplit

SECONDS: Final = 60.0
CSRF_COOKIE: Final = "csrftoken"
SESSION_COOKIE: Final = "sessionid"


class Visitor:
    """One person's cookies at one process, and a connection for each request.

    `cookies` may be those of another visitor: a browser behind one front sends them to whatever
    process the front chooses.
    """

    def __init__(self, url: str, cookies: dict[str, str] | None = None) -> None:
        self.cookies: dict[str, str] = {} if cookies is None else cookies
        self._address = urlsplit(url).netloc

    def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send a request with all cookies; return status and body of the answer."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        fields = {**({"Cookie": cookies} if cookies else {}), **(headers or {})}
        with closing(HTTPConnection(self._address, timeout=SECONDS)) as connection:
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            content = answer.read()
        self._cookies_keep(answer)
        return answer.status, content

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask for a page."""
        return self.send("GET", path)

    def api(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Call the API as the pages' scripts do."""
        told = {"Content-Type": "application/json", "X-CSRFToken": self.cookies[CSRF_COOKIE]}
        return self.send(method, f"/api/v1{path}", body, told)

    def form(self, path: str, values: Mapping[str, str]) -> tuple[int, bytes]:
        """Send a form of a page that has been asked for."""
        fields = {**values, "csrfmiddlewaretoken": self.cookies[CSRF_COOKIE]}
        told = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.send("POST", path, urlencode(fields).encode(), told)

    def sign_in(self, name: str, password: str) -> None:
        """Sign in with the form of the sign-in page."""
        status, _ = self.get("/login")
        assert status == 200, status
        status, _ = self.form("/login", {"username": name, "password": password})
        assert status == 302, status
        assert self.cookies.get(SESSION_COOKIE)

    def _cookies_keep(self, answer: HTTPResponse) -> None:
        for line in answer.headers.get_all("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
