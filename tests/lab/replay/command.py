"""`manage.py replay FLOW`: a recorded market through the real exchange, compared and audited."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from config.env import BASE_DIR, ENV
from tests.lab.replay.flow import TRADES_NAME, FlowError
from tests.lab.replay.run import CONNECTIONS, ReplayPlan, replay
from tests.lab.replay.venue import ACCOUNTS_PER_SIDE, ACCOUNTS_PER_SIDE_MAX
from tests.lab.stack import StackFailed, own_stack, running_stack

SPEED_MAX: Final = "max"


class Command(BaseCommand):
    help = (
        "Send a recorded order flow through the exchange and compare the trades with those of the"
        " recording. Uses the stack that runs in DATA_DIR; without one it starts its own."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("flow", type=Path, help="flow.csv or flow.csv.gz, or the folder that holds it")
        add("--speed", default=SPEED_MAX, help="1: as recorded, 10: ten times that, max")
        add("--through", choices=("api", "intake"), default="api")
        add("--trades", type=Path, help="expected trades; default: trades.csv beside the flow")
        add("--url", default="", help="address of the API; default: that of the running stack")
        add(
            "--connections",
            "--lanes",
            type=int,
            default=CONNECTIONS,
            help="connections at once (api)",
        )
        add("--accounts", type=int, default=ACCOUNTS_PER_SIDE, help="accounts on each side")
        add("--limit", type=int, default=0, help="play only so many commands; compares nothing")

    def handle(self, **options: Any) -> None:
        plan = self._plan(options)
        if not plan.url and running_stack(BASE_DIR / ENV.data_dir) is None:
            self._with_own_stack(plan, options)
            return
        try:
            is_right = replay(plan, self._write)
        except (FlowError, OSError) as error:
            raise CommandError(str(error)) from error
        if not is_right:
            raise SystemExit(1)

    def _with_own_stack(self, plan: ReplayPlan, options: dict[str, Any]) -> None:
        """Run the replay in a child process: settings are read once, at the start of a process."""
        self._write("no stack is running: starting one for this replay")
        words = ["replay", str(plan.flow), "--speed", options["speed"]]
        words += ["--through", plan.through, "--connections", str(plan.connections)]
        words += ["--accounts", str(plan.accounts_per_side), "--limit", str(plan.limit)]
        words += ["--trades", str(plan.trades)] if plan.trades else []
        try:
            with own_stack("--no-demo") as stack:
                self._write(f"{stack.url} is ready")
                status = stack.manage(*words, "--url", stack.url)
        except StackFailed as error:
            raise CommandError(str(error)) from error
        raise SystemExit(status)

    def _plan(self, options: dict[str, Any]) -> ReplayPlan:
        flow: Path = options["flow"].resolve()
        if flow.is_dir():
            inside = [flow / name for name in ("flow.csv.gz", "flow.csv")]
            flow = next((path for path in inside if path.is_file()), flow)
        if not flow.is_file():
            raise CommandError(f"there is no recording {flow}")
        trades: Path | None = options["trades"] or flow.with_name(TRADES_NAME)
        if trades is not None and not trades.is_file():
            if options["trades"]:
                raise CommandError(f"there is no file {trades}")
            trades = None
        stack = running_stack(BASE_DIR / ENV.data_dir)
        if not 0 < options["accounts"] <= ACCOUNTS_PER_SIDE_MAX:
            raise CommandError(f"--accounts: 1 to {ACCOUNTS_PER_SIDE_MAX}")
        return ReplayPlan(
            flow=flow,
            trades=None if options["limit"] else trades,
            through=options["through"],
            speed=_speed(options["speed"]),
            url=options["url"] or (stack.url if stack else ""),
            connections=options["connections"],
            accounts_per_side=options["accounts"],
            limit=options["limit"],
        )

    def _write(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _speed(text: str) -> float:
    if text == SPEED_MAX:
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if speed <= 0:
        raise CommandError("--speed: a positive number, or max")
    return speed
