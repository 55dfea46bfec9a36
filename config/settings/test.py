"""Tests: real Postgres and Redis (tests/conftest.py starts them), cheap passwords."""

from config.settings.base import *  # noqa: F403 - settings are names

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
STATIC_ROOT = None  # nothing is collected: WhiteNoise reads the apps' own folders
