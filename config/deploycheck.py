"""`check --deploy` against the production settings, with secrets that live for this call only."""

import base64
import secrets
import subprocess
import sys
from typing import Final

from config.env import BASE_DIR, child_environment

SECONDS_MAX: Final = 120


def main() -> int:
    """Return the check's exit status: non-zero on any warning."""
    environment = {
        "DJANGO_SETTINGS_MODULE": "config.settings.prod",
        "SECRET_KEY": secrets.token_urlsafe(64),
        "SECRETS_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "DATABASE_URL": "postgresql://takas@db.example.com/takas",
        "REDIS_URL": "redis://redis.example.com:6379/0",
        "ALLOWED_HOSTS": "trade.example.com",
        "CSRF_TRUSTED_ORIGINS": "https://trade.example.com",
        "WS_URL": "wss://trade.example.com/ws",
        "DEMO": "off",
    }
    command = [sys.executable, str(BASE_DIR / "manage.py"), "check", "--deploy"]
    return subprocess.run(
        [*command, "--fail-level", "WARNING"],
        env=child_environment(environment),
        timeout=SECONDS_MAX,
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
