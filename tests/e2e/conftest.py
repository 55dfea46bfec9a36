"""A whole stack of its own, once for the browser tests: real processes, real sockets."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.browser import Page, chromium_path, page_open
from tests.waiting import HANG_S, START_S, wait_until

ROOT: Final = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def stack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if chromium_path() is None:
        pytest.skip("no chromium here: install it, or set CHROMIUM to its path")
    # Not at the top: named on the command line, this file is read before the servers of the tests
    # are in the environment, and the settings with it.
    from config.stack.servers import child_command
    from config.stack.state import ports_free

    folder = tmp_path_factory.mktemp("stack")
    web_port, ws_port = ports_free(2)
    command = [
        sys.executable, "manage.py", "stack", "--data", str(folder), "--headless",
        "--demo", "--no-market",
        "--port", str(web_port), "--ws-port", str(ws_port),
    ]  # fmt: skip
    # The stack finds its own servers: those of the other tests are not its business.
    foreign = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    log_path = folder / "stack.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            child_command(command, signal.SIGINT),
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_ready(f"http://127.0.0.1:{web_port}", process, log_path)
            yield f"http://127.0.0.1:{web_port}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(HANG_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(url: str, process: "subprocess.Popen[bytes]", log_path: Path) -> None:
    """Wait until the stack says so: web answers before the engine and the feed are up."""

    def says_so() -> bool:
        assert process.poll() is None, f"the stack ended: {_tail(log_path)}"
        return "ready: http" in log_path.read_text(errors="replace")

    wait_until(says_so, lambda: f"the stack is ready: {_tail(log_path)}", seconds=START_S)
    with urllib.request.urlopen(f"{url}/login", timeout=HANG_S) as answer:  # noqa: S310
        assert answer.status == 200


def _tail(log_path: Path) -> str:
    return log_path.read_text(errors="replace")[-4_000:]


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
