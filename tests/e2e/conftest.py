"""A whole stack of its own, once for the browser tests: real processes, real sockets."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.browser import Page, chromium_path, page_open

ROOT: Final = Path(__file__).resolve().parents[2]
START_S: Final = 120.0
LIFE_S: Final = 400  # the stack ends by itself, should this process die
STOP_S: Final = 40.0


@pytest.fixture(scope="session")
def stack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if chromium_path() is None:
        pytest.skip("no chromium here: install it, or set CHROMIUM to its path")
    # Not at the top: named on the command line, this file is read before the servers of the tests
    # are in the environment, and the settings with it.
    from config.stack.state import ports_free

    folder = tmp_path_factory.mktemp("stack")
    web_port, ws_port = ports_free(2)
    command = [
        sys.executable, "manage.py", "stack", "--data", str(folder), "--headless",
        "--demo", "--no-market", "--for", str(LIFE_S),
        "--port", str(web_port), "--ws-port", str(ws_port),
    ]  # fmt: skip
    # The stack finds its own servers: those of the other tests are not its business.
    foreign = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    log_path = folder / "stack.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait_ready(f"http://127.0.0.1:{web_port}", process, log_path)
            yield f"http://127.0.0.1:{web_port}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(url: str, process: "subprocess.Popen[bytes]", log_path: Path) -> None:
    """Wait until the stack says so: web answers before the engine and the feed are up."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if "ready: http" in log_path.read_text(errors="replace"):
            with urllib.request.urlopen(f"{url}/login", timeout=10) as answer:  # noqa: S310
                assert answer.status == 200
            return
        time.sleep(0.2)
    pytest.fail("the stack did not start:\n" + log_path.read_text(errors="replace")[-4_000:])


def sign_in(page: Page, url: str, username: str) -> None:
    page.goto(f"{url}/login?next=/trade/BTC-USDT")
    page.fill("username-input", username)
    page.fill("password-input", "takas-demo")
    page.click("sign-in")
    page.wait("document.body.dataset.connection === 'live'")
    page.wait("document.querySelector('[data-testid=form-available]').textContent !== '0 USDT'")


@pytest.fixture
def ada(stack_url: str) -> Iterator[Page]:
    with page_open() as page:
        sign_in(page, stack_url, "ada")
        yield page
        assert page.faults == []


@pytest.fixture
def boris(stack_url: str) -> Iterator[Page]:
    with page_open() as page:
        sign_in(page, stack_url, "boris")
        yield page
        assert page.faults == []
