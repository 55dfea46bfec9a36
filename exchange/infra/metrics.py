"""The metrics of every role. Times are in seconds, as is the custom of Prometheus.

Hot code binds its label once (`ACCEPT = metrics.STAGE_SECONDS.labels("accept")`) and then only
observes. Where a role has several processes (the Celery worker's children, more than one of web),
PROMETHEUS_MULTIPROC_DIR gathers their metrics; a gauge then shows the value set last by any of
them, or the sum of the live ones.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

STAGES: Final = ("accept", "publish", "match", "commit", "settle", "push")
SECONDS_BUCKETS: Final = (
    0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip
SIZE_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024)
LAST_SET: Final = "mostrecent"

ORDERS_ACCEPTED = Counter("takas_orders_accepted", "Orders durably accepted", ["symbol"])
ORDERS_REFUSED = Counter("takas_orders_refused", "Orders refused, by stable code", ["code"])
TRADES = Counter("takas_trades", "Trades made", ["symbol"])
# The time of the stage alone, not since the order came in: accept (request to commit), publish
# (commit to stream), match (engine), commit (results), settle (one batch), push (one batch of
# frames from Redis to the queues of all its sockets).
STAGE_SECONDS = Histogram(
    "takas_stage_seconds",
    "Time in one stage of an order's life",
    ["stage"],
    buckets=SECONDS_BUCKETS,
)
BATCH_SIZE = Histogram(
    "takas_batch_size", "Orders, commands or trades in one batch", ["stage"], buckets=SIZE_BUCKETS
)
STREAM_LAG = Gauge(
    "takas_stream_lag",
    "Stream entries the worker has not read",
    ["partition"],
    multiprocess_mode=LAST_SET,
)
UNSEQUENCED_AGE_SECONDS = Gauge(
    "takas_unsequenced_age_seconds",
    "Age of the oldest accepted command without a sequence",
    ["partition"],
    multiprocess_mode=LAST_SET,
)
SETTLEMENT_LAG = Gauge(
    "takas_settlement_lag",
    "Engine events not yet settled",
    ["partition"],
    multiprocess_mode=LAST_SET,
)
SETTLEMENT_LAG_SECONDS = Gauge(
    "takas_settlement_lag_seconds",
    "Age of the oldest engine event not yet settled",
    ["partition"],
    multiprocess_mode=LAST_SET,
)
AUDIT_OK = Gauge(
    "takas_audit_ok",
    "1: the invariant held in the last audit, 0: it was broken",
    ["invariant"],
    multiprocess_mode=LAST_SET,
)
AUDIT_TIME = Gauge(
    "takas_audit_time_seconds", "When the last audit ended (Unix)", multiprocess_mode=LAST_SET
)
LEASE_HELD = Gauge(
    "takas_lease_held",
    "1: this worker holds the partition, 0: it stands by",
    ["partition"],
    multiprocess_mode=LAST_SET,
)
ENGINE_EPOCH = Gauge(
    "takas_engine_epoch", "Fencing epoch", ["partition"], multiprocess_mode=LAST_SET
)
ENGINE_SEQUENCE = Gauge(
    "takas_engine_sequence", "Last committed sequence", ["partition"], multiprocess_mode=LAST_SET
)
FEED_CONNECTIONS = Gauge("takas_feed_connections", "Open WebSockets", multiprocess_mode="livesum")
FEED_FRAMES = Counter("takas_feed_frames", "Frames sent to sockets", ["kind"])
# Requests on the short way (exchange/infra/http/shortcut.py) skip django-prometheus' middlewares.
API_SECONDS = Histogram(
    "takas_api_seconds",
    "API requests that carried no cookie, by method and status class",
    ["method", "status"],
    buckets=SECONDS_BUCKETS,
)
# Requests and their parts that web's door has in hand (exchange/web/door.py).
WEB_REQUESTS = Gauge(
    "takas_web_requests", "Requests in threads, or waiting for one", multiprocess_mode="livesum"
)
WEB_SIGN_INS = Gauge(
    "takas_web_sign_ins",
    "Attempts to sign in that are in threads, or wait for one",
    multiprocess_mode="livesum",
)
WEB_LOOKUPS = Gauge(
    "takas_web_lookups",
    "What the loop looks up in threads, or waits to",
    multiprocess_mode="livesum",
)
WEB_READS = Gauge(
    "takas_web_reads",
    "Reads of users in threads for answers of the loop, or waiting for one",
    multiprocess_mode="livesum",
)
WEB_PUBLIC_READS = Gauge(
    "takas_web_public_reads",
    "Reads of strangers in threads for answers of the loop, or waiting for one",
    multiprocess_mode="livesum",
)
WEB_KEY_LOOKUPS = Gauge(
    "takas_web_key_lookups",
    "Keys that the loop waits for; proven: they were right before in this process",
    ["keys"],
    multiprocess_mode="livesum",
)
WEB_ORDER_LOOKUPS = Gauge(
    "takas_web_order_lookups",
    "Orders to be amended that the loop waits for",
    multiprocess_mode="livesum",
)
WEB_KEY_USES = Gauge(
    "takas_web_key_uses",
    "Uses of keys that the loop waits for until they are written down",
    multiprocess_mode="livesum",
)
WEB_BODIES = Gauge("takas_web_bodies", "Bodies of requests being read", multiprocess_mode="livesum")
WEB_REFUSED = Counter("takas_web_refused", "Requests that got no thread, by code", ["code"])
LOG_LINES_DROPPED = Counter(
    "takas_log_lines_dropped",
    "Lines of the log that nobody read in time (exchange/infra/log_writer.py)",
)
LOG_LINES_UNTOLD = Counter(
    "takas_log_lines_untold",
    "Lines of the log about what strangers repeat, beyond a rate",
    ["event"],
)


@contextmanager
def stage_timed(stage: str) -> Iterator[None]:
    """Observe the duration of the block. For batches; for orders, bind the label and observe."""
    assert stage in STAGES, stage
    started = time.perf_counter()
    try:
        yield
    finally:
        STAGE_SECONDS.labels(stage).observe(time.perf_counter() - started)
