"""Who may sign in, and how: sessions for pages, signed API keys for programs."""

from config.env import ENV

AUTH_USER_MODEL = "exchange.User"
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login"
SECRETS_KEY = ENV.secrets_key

# The only backend, so that every check of a password passes the throttle.
AUTHENTICATION_BACKENDS = ["exchange.signin.backend.ThrottledBackend"]

PASSWORD_HASHERS = [
    "exchange.signin.hashing.NiceScryptHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

SESSION_ENGINE = "exchange.signin.sessions"
SESSION_COOKIE_AGE = 12 * 60 * 60  # seconds
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = ENV.csrf_trusted_origins
