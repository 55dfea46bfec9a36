"""A headless Chromium through its DevTools protocol: just what the browser tests need.

No browser is downloaded: CHROMIUM names one, or `chromium` is looked for on the path.
"""

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from websockets.sync.client import ClientConnection, connect

from tests.waiting import HANG_S, deadline_in

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
POLL_S: Final = 0.05
MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",  # tests run as root in containers
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--remote-debugging-port=0",
)


def chromium_path() -> str | None:
    """The browser to use, or None where there is none."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


class PageFault(AssertionError):
    """The page did not do what was waited for; the text says what was seen."""


class Page:
    """One tab. Elements are found by their `data-testid`."""

    def __init__(self, socket: ClientConnection, session_id: str) -> None:
        self._socket = socket
        self._session_id = session_id
        self._ids = itertools.count(1)
        self.faults: list[str] = []  # console errors, exceptions, policy violations
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One protocol call; events that arrive meanwhile are looked through for faults."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params, "sessionId": self._session_id}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=HANG_S))
            if answer.get("id") == number and answer.get("sessionId") == self._session_id:
                if "error" in answer:
                    raise PageFault(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._event(answer)

    def _event(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                thrown = details.get("exception", {}).get("description", details["text"])
                self.faults.append(str(thrown))
            case "Runtime.consoleAPICalled" if params["type"] == "error":
                self.faults.append(str([one.get("value") for one in params["args"]]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                entry = params["entry"]
                if entry["source"] == "network" and "/api/" in entry.get("url", ""):
                    return  # a refusal: the page shows it
                self.faults.append(f"{entry['text']} {entry.get('url', '')}".strip())

    def size(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 800,
        )  # fmt: skip

    def prefer(self, scheme: str) -> None:
        """`dark` or `light`, as the system would say."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def goto(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """The value of an expression (a promise is awaited)."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise PageFault(str(answer["exceptionDetails"].get("exception", answer)))
        return answer["result"].get("value")

    def wait(self, condition: str) -> Any:
        """Wait until the expression is true and return it."""
        deadline = deadline_in()
        while True:
            try:
                value = self.run(condition)
            except PageFault:  # the page was changing under us
                value = None
            if value:
                return value
            if time.monotonic() > deadline:
                seen = self.run("document.body && document.body.innerText.slice(0, 1500)")
                raise PageFault(f"never: {condition}\nfaults: {self.faults}\npage:\n{seen}")
            time.sleep(POLL_S)

    def text(self, testid: str) -> str:
        return str(self.run(f"{_find(testid)}.textContent.trim()"))

    def click(self, testid: str) -> None:
        self.wait(f"{_find(testid)} && !{_find(testid)}.disabled")
        self.run(f"{_find(testid)}.click()")

    def fill(self, testid: str, value: str) -> None:
        """Put text into a field the way typing does, events included."""
        self.wait(_find(testid) + " !== null")
        self.run(
            f"(() => {{ const node = {_find(testid)}; node.focus(); node.value = "
            f"{json.dumps(value)}; node.dispatchEvent(new Event('input', {{bubbles: true}})); "
            "node.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )

    def wait_text(self, testid: str, wanted: str) -> None:
        self.wait(f"{_find(testid)} && {_find(testid)}.textContent.includes({json.dumps(wanted)})")

    def screenshot(self, path: Path) -> None:
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))


def _find(testid: str) -> str:
    return f"document.querySelector('[data-testid={json.dumps(testid)}]')"


@contextmanager
def page_open(*, width: int = 1440, height: int = 900) -> Iterator[Page]:
    """A fresh browser with one tab; ended, with its profile, in any case."""
    path = chromium_path()
    assert path is not None, "no chromium: ask chromium_path() first"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [path, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            address = _address(process, Path(profile) / "DevToolsActivePort")
            with connect(address, max_size=MESSAGE_BYTES_MAX, open_timeout=HANG_S) as socket:
                page = Page(socket, _attach(socket))
                page.size(width, height)
                yield page
        finally:
            process.terminate()
            try:
                process.wait(HANG_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(process: "subprocess.Popen[bytes]", port_file: Path) -> str:
    deadline = deadline_in()
    while time.monotonic() < deadline:
        lines = port_file.read_text().split() if port_file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        if process.poll() is not None:
            raise PageFault(f"the browser ended with {process.returncode}")
        time.sleep(POLL_S)
    raise PageFault("the browser did not open its protocol")


def _attach(socket: ClientConnection) -> str:
    """Open a tab and return the id of a session on it."""

    def call(number: int, method: str, **params: Any) -> dict[str, Any]:
        socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(socket.recv(timeout=HANG_S))
            if answer.get("id") == number:
                result: dict[str, Any] = answer["result"]
                return result

    target = call(-1, "Target.createTarget", url="about:blank")["targetId"]
    session = call(-2, "Target.attachToTarget", targetId=target, flatten=True)
    return str(session["sessionId"])
