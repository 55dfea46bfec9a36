"""Logs: one JSON object a line on stdout (exchange/infra/logging.py does the work)."""

from config.env import ENV

LOG_LEVEL = ENV.log_level
LOG_FORMAT = ENV.log_format
ROLE = ENV.role
METRICS_HOST = ENV.metrics_host
METRICS_PORT = ENV.metrics_port
PROMETHEUS_MULTIPROC_DIR = ENV.prometheus_multiproc_dir

# Django must not configure logging by itself: `exchange.infra.logging.configure` does, for every
# role.
LOGGING_CONFIG = "exchange.infra.logging.configure"
LOGGING = {"level": LOG_LEVEL, "format": LOG_FORMAT, "role": ROLE}
