"""The settings that all environments share; `parts/` has one module a topic."""

from pathlib import Path

from config.env import BASE_DIR, ENV
from config.settings.parts.auth import *  # noqa: F403 - a settings module is its parts' names
from config.settings.parts.database import *  # noqa: F403
from config.settings.parts.limits import *  # noqa: F403
from config.settings.parts.logging import *  # noqa: F403
from config.settings.parts.redis import *  # noqa: F403
from config.settings.parts.security import *  # noqa: F403
from config.settings.parts.web import *  # noqa: F403

DEBUG = False
DEMO = ENV.demo
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = True

INSTALLED_APPS = [
    "config",
    "exchange",
    "wallets",
    "risk",
    "orders",
    "adminpanel.apps.AdminpanelConfig",
    "adminpanel.apps.BackOfficeConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_prometheus",
]

MIDDLEWARE = [
    "exchange.infra.http.request_id.RequestIdMiddleware",
    "exchange.web.middlewares.HostMiddleware",
    "exchange.infra.http.shortcut.ShortcutMiddleware",
    # The middlewares below serve pages, and API requests that a cookie may authenticate.
    "exchange.web.middlewares.ProbesMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "exchange.infra.http.security.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "exchange.web.middlewares.PageRateMiddleware",
    "exchange.web.middlewares.TextMiddleware",
    "exchange.web.middlewares.SignInMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

STATIC_URL = "/static/"
STATIC_ROOT: Path | None = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "exchange.api.contract.Operation",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
# Reading the migrations table at every start would need the database for `--help`.
PROMETHEUS_EXPORT_MIGRATIONS = False

SPECTACULAR_SETTINGS = {
    "TITLE": "Takas API",
    "DESCRIPTION": "Orders, market data and balances. Amounts are decimal strings, ids strings.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "exchange.api.contract.contract_complete",
    ],
}
