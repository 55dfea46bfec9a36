"""One run of the stack: it starts servers, schema, demo data and roles, and stops them all."""

import asyncio
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
import redis

from config import env
from config.stack import roles, servers, state
from config.stack.supervisor import Supervisor, say

SERVER_ANSWER_SECONDS: Final = 5
APPLICATION_ROLE: Final = "takas_app"  # made by orders/migrations/0003_application_role.py
DEMO_LOGINS: Final = "ada, boris, cem (traders), admin (back office); password takas-demo"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line."""

    data: Path
    host: str
    port: int
    ws_port: int
    demo: bool
    market: bool
    headless: bool
    seconds: float | None
    without: frozenset[str]
    partitions: int
    flow: str | None
    speed: str


@dataclass(slots=True)
class Stack:
    """One run. `main` returns the exit status."""

    options: Options
    supervisor: Supervisor = field(init=False)
    layout: roles.Layout = field(init=False)
    addresses: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    started_at: float = field(default_factory=time.time)
    ready: bool = False

    def main(self) -> int:
        """Run until stopped. Raises StackRefused or ServerUnavailable if the stack cannot start."""
        options = self.options
        state.folder_prepare(options.data)
        lock = state.lock_take(options.data)  # open until this process ends
        assert lock > 0
        left = state.leftovers_stop(options.data)
        if left:
            say(f"an earlier run was killed; ended what it left: {', '.join(left)}")
        state.port_check(options.host, options.port, "--port")
        state.port_check(options.host, options.ws_port, "--ws-port")
        names = roles.role_names(options.partitions)
        ports = dict(zip(names, state.ports_free(len(names)), strict=True))
        self.layout = roles.Layout(options.data, options.host, options.port, options.ws_port, ports)
        return asyncio.run(self._run())

    async def _run(self) -> int:
        self.secrets = state.secrets_load(self.options.data)
        self.supervisor = Supervisor(self._environment(), changed=self._publish)
        interrupted = asyncio.Event()
        self._on_signals(interrupted)
        try:
            starting = asyncio.create_task(self._start())
            stop_asked = asyncio.create_task(interrupted.wait())
            await asyncio.wait([starting, stop_asked], return_when=asyncio.FIRST_COMPLETED)
            if interrupted.is_set():
                self.supervisor.stopping.set()
            await starting
            return await self._serve(interrupted)
        except state.StackRefused as refused:
            say(f"cannot start: {refused}")  # before the output of the stopping
            raise
        finally:
            say("stopping")
            await self.supervisor.stop()
            state.state_remove(self.options.data)
            say("stopped; a next start continues with the same data")

    def _on_signals(self, interrupted: asyncio.Event) -> None:
        def asked() -> None:
            if interrupted.is_set():
                say("asked twice: ending everything at once")
                self.supervisor.kill()
            interrupted.set()

        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(sign, asked)

    async def _serve(self, interrupted: asyncio.Event) -> int:
        try:
            await asyncio.wait_for(interrupted.wait(), self.options.seconds)
        except TimeoutError:
            all_ready = self.supervisor.all_ready
            say("the time asked for is over" + ("" if all_ready else "; not every role is ready"))
            return 0 if all_ready else 1
        return 0

    # --- starting -------------------------------------------------------------------------------

    async def _start(self) -> None:
        for role in await self._server_roles():
            await self.supervisor.start(role)
        self.supervisor.environment.update(self.addresses)
        self._leave_addresses()
        steps = [["migrate", "--no-input", "--verbosity=0"], ["partitions", "--ensure"]]
        steps += [["seed_demo"]] if self.options.demo else []
        for words in steps:
            if not self.supervisor.stopping.is_set():
                await self.supervisor.run(words[0], roles.manage(*words))
        # The engines first: the other roles would only report "degraded" before they run.
        partitions = self.options.partitions
        all_roles = roles.exchange_roles(self.layout, partitions=partitions)
        for group in (all_roles[:partitions], all_roles[partitions:]):
            await self._start_together(group)
        if not self.supervisor.stopping.is_set():
            self.ready = True
            self._publish()
            self._announce()
        # The senders of orders are clients: they start when the exchange is open.
        await self._start_together(self._traffic())

    async def _start_together(self, group: list[roles.Role]) -> None:
        if self.supervisor.stopping.is_set():
            return
        without = self.options.without
        wanted = [role for role in group if role.environment["ROLE"] not in without]
        await self.supervisor.start_all(wanted)

    async def _server_roles(self) -> list[roles.Role]:
        """Check the configured servers; return roles for those that are not configured."""
        embedded = []
        if "DATABASE_URL" in env.given:
            _database_answers(env.ENV.database_url)
            self.addresses["DATABASE_URL"] = env.ENV.database_url
        else:
            server = servers.postgres_prepare(self.options.data)
            self.addresses["DATABASE_URL"] = server.url
            if "DATABASE_ROLE" not in env.given:
                self.addresses["DATABASE_ROLE"] = APPLICATION_ROLE
            embedded.append(roles.server_role(server))
        if "REDIS_URL" in env.given:
            _redis_answers(env.ENV.redis_url)
            self.addresses["REDIS_URL"] = env.ENV.redis_url
        else:
            server = servers.redis_prepare(self.options.data)
            self.addresses["REDIS_URL"] = server.url
            embedded.append(roles.server_role(server))
        return embedded

    def _environment(self) -> dict[str, str]:
        chosen = {name: value for name, value in self.secrets.items() if name not in env.given}
        settings = {
            "DATA_DIR": str(self.options.data),
            "DEMO": "on" if self.options.demo else "off",
            "PYTHONUNBUFFERED": "1",
            "METRICS_PORT": "0",
            "ROLE": "command",
            "WEB_SERVES": "all",  # one origin, without a front
        }
        if "WS_URL" not in env.given:
            settings["WS_URL"] = f"ws://{{host}}:{self.options.ws_port}/ws"
        return {**chosen, **settings}

    def _leave_addresses(self) -> None:
        """Write stack.env, for commands in a second terminal and for the next start's secrets."""
        own = {k: v for k, v in self.addresses.items() if k not in env.given}
        state.stack_env_write(self.options.data, {**self.secrets, **own, "DEMO": self._demo_word()})

    def _demo_word(self) -> str:
        return "on" if self.options.demo else "off"

    def _traffic(self) -> list[roles.Role]:
        url = ["--url", self.layout.url]
        if self.options.flow:
            words = ["replay", self.options.flow, "--speed", self.options.speed, *url]
            return [roles.traffic_role("flow", words, once=True)]
        if self.options.market:
            return [roles.traffic_role("market", ["demo_market", *url], once=False)]
        return []

    # --- telling --------------------------------------------------------------------------------

    def _publish(self) -> None:
        layout = self.layout
        description: dict[str, Any] = {
            "pid": os.getpid(),
            "data": str(layout.data),
            "started_at": self.started_at,
            "ready": self.ready,
            "url": layout.url,
            "ws_url": layout.ws_url,
            "port": layout.port,
            "ws_port": layout.ws_port,
            "database_url": self.addresses.get("DATABASE_URL", ""),
            "redis_url": self.addresses.get("REDIS_URL", ""),
            "roles": self.supervisor.describe(),
        }
        state.state_write(layout.data, description)

    def _announce(self) -> None:
        if self.options.headless:
            say(f"ready: {self.layout.url}")
            return
        lines = [
            "",
            "=" * 78,
            f"  Takas is running     {self.layout.url}",
            f"  WebSocket            {self.layout.ws_url}",
            f"  API documentation    {self.layout.url}/api/docs",
            f"  Back office          {self.layout.url}/admin/",
        ]
        if self.options.demo:
            lines.append(f"  Sign in as           {DEMO_LOGINS}")
        lines += [
            f"  Data                 {self.layout.data}",
            "  Stop                 Ctrl-C (a next start continues where this one ends)",
            "=" * 78,
            "",
        ]
        say("\n".join(lines))


def _database_answers(url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=SERVER_ANSWER_SECONDS).close()
    except psycopg.OperationalError as error:
        raise state.StackRefused(
            f"DATABASE_URL is set, but that server does not answer: {str(error).strip()}"
        ) from error


def _redis_answers(url: str) -> None:
    try:
        with redis.Redis.from_url(url, socket_timeout=SERVER_ANSWER_SECONDS) as client:
            client.ping()
    except redis.RedisError as error:
        raise state.StackRefused(
            f"REDIS_URL is set, but that server does not answer: {error}"
        ) from error
