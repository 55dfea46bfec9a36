"""`manage.py stack`: Postgres, Redis and every role of the exchange in one command."""

import argparse
import errno
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config import env
from config.stack.roles import ALL, PARTITIONS_MAX
from config.stack.servers import ServerUnavailable
from config.stack.stack import Options, Stack
from config.stack.state import StackRefused


class Command(BaseCommand):
    help = "Start Postgres, Redis, web, ws, matching, worker and beat; Ctrl-C stops them all"
    requires_system_checks: list[str] = []  # the database is not up yet

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--data", default=env.ENV.data_dir, help="folder of databases and state")
        add("--host", default="127.0.0.1", help="address that web and ws listen on")
        add("--port", type=int, default=8000, help="port of web")
        add("--ws-port", type=int, help="port of ws; default: the one after --port")
        on_off = argparse.BooleanOptionalAction
        add("--demo", action=on_off, default=None, help="seed demo users and balances")
        add("--market", action=on_off, default=None, help="let demo traders keep a market alive")
        add("--headless", action="store_true", help="no block for a reader; no market unless asked")
        add("--for", dest="seconds", type=float, metavar="SECONDS", help="stop after this long")
        add("--without", action="append", default=[], choices=ALL, help="leave a role out")
        add("--partitions", type=int, default=1, help="partitions of the engine, a worker for each")
        add("--flow", help="play this recording instead of the demo market")
        add("--speed", default="1", help="1, 10 or max: how fast to play --flow")

    def handle(self, *args: object, **given: Any) -> None:
        options = self._options(given)
        try:
            status = Stack(options).main()
        except (StackRefused, ServerUnavailable) as error:
            raise CommandError(f"the stack does not start: {error}") from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise
            raise CommandError(
                f"the stack does not start: {error.strerror} ({error.filename}): "
                "make room, or choose another folder with --data"
            ) from error
        sys.exit(status)

    def _partitions(self, number: int) -> int:
        if not 1 <= number <= PARTITIONS_MAX:
            raise CommandError(f"--partitions is a number from 1 to {PARTITIONS_MAX}")
        return number

    def _options(self, given: dict[str, Any]) -> Options:
        demo = env.ENV.demo or "DEMO" not in env.given if given["demo"] is None else given["demo"]
        market = demo and not given["headless"] if given["market"] is None else given["market"]
        flow = str(Path(given["flow"]).resolve()) if given["flow"] else None
        if flow and not Path(flow).exists():
            raise CommandError(f"there is no recording {flow}")
        return Options(
            data=(env.BASE_DIR / given["data"]).resolve(),
            host=given["host"],
            port=given["port"],
            ws_port=given["ws_port"] or given["port"] + 1,
            demo=demo,
            market=market and not flow,
            headless=given["headless"],
            seconds=given["seconds"],
            without=frozenset(given["without"]),
            partitions=self._partitions(given["partitions"]),
            flow=flow,
            speed=given["speed"],
        )
