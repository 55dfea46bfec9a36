"""Settings of development and `make demo`: readable logs, on this machine only."""

from config.settings.base import *  # noqa: F403 - settings are names

DEBUG = False  # the demo shows what production shows; set it here when you need the yellow page
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
STATIC_ROOT = None  # nothing is collected: WhiteNoise reads the apps' own folders
