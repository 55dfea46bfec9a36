"""Headers and cookies. `prod` adds what only makes sense behind TLS."""

from config.env import ENV

SECRET_KEY = ENV.secret_key
ALLOWED_HOSTS = ENV.allowed_hosts

CSRF_FAILURE_VIEW = "exchange.api.errors.csrf_failure"

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# An order is a few hundred bytes, and there are no uploads.
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200

# Only a configured proxy may say that a request came over TLS.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ENV.trust_proxy else None
TRUST_PROXY = ENV.trust_proxy

# The URL of the WebSocket for browsers; exchange/infra/http/security.py allows pages to use it.
WS_URL = ENV.ws_url
