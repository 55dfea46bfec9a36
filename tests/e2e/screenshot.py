"""Pictures of a running stack: `python -m tests.e2e.screenshot --url http://localhost:8000 OUT`.

Signs in and takes the trading page wide and narrow, dark and light, and the API keys page.
"""

import argparse
import sys
import time
from pathlib import Path

from tests.e2e.browser import Page, chromium_path, page_open

WIDE = (1440, 900)
TABLET = (1024, 900)
NARROW = (390, 844)
SETTLE_S = 2.0  # let the market move a little


def sign_in(page: Page, url: str, username: str, password: str) -> None:
    page.goto(f"{url}/login")
    page.fill("username-input", username)
    page.fill("password-input", password)
    page.click("sign-in")
    page.wait("location.pathname.startsWith('/trade/')")


def pictures(page: Page, url: str, out: Path, username: str, password: str) -> list[Path]:
    """Take all pictures; return their paths."""
    taken: list[Path] = []

    def take(name: str) -> None:
        time.sleep(SETTLE_S)
        taken.append(out / f"{name}.png")
        page.screenshot(taken[-1])

    page.prefer("dark")
    page.goto(f"{url}/login")
    take("login")
    sign_in(page, url, username, password)
    page.wait("document.body.dataset.connection === 'live'")
    for name, size in (("wide", WIDE), ("tablet", TABLET), ("narrow", NARROW)):
        page.size(*size)
        for scheme in ("dark", "light"):
            page.prefer(scheme)
            take(f"trade-{name}-{scheme}")
    for tab in ("book", "orders", "market"):
        page.click(f"tab-{tab}")
        take(f"trade-narrow-{tab}")
    page.size(*WIDE)
    page.prefer("dark")
    page.goto(f"{url}/keys")
    take("keys")
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("--url", default="http://localhost:8000")
    parser.add_argument("--user", default="ada")
    parser.add_argument("--password", default="takas-demo", help="the demo's, if not given")
    arguments = parser.parse_args()
    if chromium_path() is None:
        sys.stderr.write("No chromium found: install it, or set CHROMIUM to its path.\n")
        return 1
    arguments.out.mkdir(parents=True, exist_ok=True)
    with page_open() as page:
        taken = pictures(
            page, arguments.url.rstrip("/"), arguments.out, arguments.user, arguments.password
        )
        sys.stdout.write("\n".join(str(path) for path in taken) + "\n")
        if page.faults:
            sys.stderr.write("The pages complained:\n" + "\n".join(page.faults) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
