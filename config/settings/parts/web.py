"""The web processes: config/web.py is what they serve."""

from config.env import ENV

WEB_THREADS = ENV.web_threads
WEB_SERVES = ENV.web_serves  # exchange/web/areas.py
