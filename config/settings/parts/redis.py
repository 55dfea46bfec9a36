"""Redis in its four uses, each with a URL of its own: streams, broker, cache, channel layer."""

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from celery.schedules import crontab

from config.env import ENV

CACHE_SECONDS: Final = 300
CACHE_SOCKET_TIMEOUT_SECONDS: Final = 1
LAYER_SOCKET_TIMEOUT_SECONDS: Final = 2
LAYER_CONNECT_TIMEOUT_SECONDS: Final = 1
LAYER_HEALTH_SECONDS: Final = 15  # so that a silently dead connection is noticed
TASK_SOFT_SECONDS: Final = 50
TASK_HARD_SECONDS: Final = 60
# Above the hard limit: an unacknowledged task is sent again only when its worker is surely gone.
VISIBILITY_SECONDS: Final = 120

STREAMS_URL: str = ENV.redis_streams_url

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": ENV.redis_cache_url,
        "KEY_PREFIX": "takas",
        "TIMEOUT": CACHE_SECONDS,
        "OPTIONS": {
            "socket_timeout": CACHE_SOCKET_TIMEOUT_SECONDS,
            "socket_connect_timeout": CACHE_SOCKET_TIMEOUT_SECONDS,
        },
    }
}

# Pub/sub: the queueing layer blocks for exactly redis-py's default socket timeout and fails idle.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            # Timeouts are explicit: redis-py's defaults changed from none to 5 s.
            "hosts": [
                {
                    "address": ENV.redis_channels_url,
                    "socket_timeout": LAYER_SOCKET_TIMEOUT_SECONDS,
                    "socket_connect_timeout": LAYER_CONNECT_TIMEOUT_SECONDS,
                    "health_check_interval": LAYER_HEALTH_SECONDS,
                    "protocol": 2,
                }
            ],
            "prefix": "takas:layer",
        },
    }
}


def broker_url(url: str) -> str:
    """Return a Redis URL the way Celery spells it: unix sockets have a scheme of their own."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.path}?virtual_host={database}"


CELERY_BROKER_URL = broker_url(ENV.redis_broker_url)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
    "visibility_timeout": VISIBILITY_SECONDS,
    "socket_timeout": 10,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "global_keyprefix": "takas:celery:",
}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SOFT_TIME_LIMIT = TASK_SOFT_SECONDS
CELERY_TASK_TIME_LIMIT = TASK_HARD_SECONDS
CELERY_TIMEZONE = "UTC"
CELERY_TASK_DEFAULT_QUEUE = "takas"
# The schedule stays in memory: a kill could corrupt a schedule file.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
# A beat that was away must not flood the queue: a late tick of a frequent task is dropped.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "settle-all": {
        "task": "orders.tasks.settle_all",
        "schedule": 1.0,
        "options": {"expires": 5},
    },
    "schedules": {
        "task": "orders.tasks.schedules_run",
        "schedule": 1.0,
        "options": {"expires": 5},
    },
    "symbol-rules": {
        "task": "orders.tasks.symbol_rules_send_all",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "barred-orders-cancel": {
        "task": "orders.tasks.barred_orders_cancel",
        "schedule": 5.0,
        "options": {"expires": 10},
    },
    "audit": {
        "task": "risk.tasks.audit",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "ensure-partitions": {
        "task": "exchange.tasks.ensure_partitions",
        "schedule": crontab(minute=7),
        "options": {"expires": 3_000},
    },
    "journal-trim": {
        "task": "orders.tasks.journal_trim",
        "schedule": crontab(hour=3, minute=17),
        "options": {"expires": 3_000},
    },
    "forget-client-order-ids": {
        "task": "orders.tasks.forget_client_order_ids",
        "schedule": crontab(minute=37),
        "options": {"expires": 3_000},
    },
}
