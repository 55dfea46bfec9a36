"""deploy/Procfile and `manage.py stack`: both start the roles with the same commands."""

from pathlib import Path

from config.env import BASE_DIR
from config.stack.roles import ALL, WEB_CONNECTIONS_MAX, Layout, exchange_roles
from exchange.infra.http.connections import CALM, CONNECTIONS_MAX, CROWDED

# What depends on where a role runs, and what only quietens the stack's terminal.
OWN = ("--host", "-b", "--port", "-p")


def words_of(command: list[str]) -> set[str]:
    """The options with their values, without those of the place."""
    found, at = set(), 0
    while at < len(command):
        value = command[at + 1] if at + 1 < len(command) else ""
        pair = command[at].startswith("-") and not value.startswith("-")
        if command[at] not in OWN:
            found.add(f"{command[at]} {value}" if pair else command[at])
        at += 2 if pair else 1
    return found


def test_web_and_ws_are_started_alike() -> None:
    layout = Layout(Path("data"), "127.0.0.1", 1, 2, dict.fromkeys(ALL, 3))
    stack = {role.name: role.command for role in exchange_roles(layout, web_workers=1)}
    lines = (BASE_DIR / "deploy" / "Procfile").read_text().splitlines()
    procfile = dict(line.split(": ", 1) for line in lines if not line.startswith("#"))
    assert set(procfile) == set(stack)
    for name, program in (("web", "asginl"), ("ws", "config.ws")):
        ours = stack[name]
        theirs = procfile[name].split()
        ours_from = next(at for at, word in enumerate(ours) if word in (program, "--interface"))
        theirs_from = next(at for at, word in enumerate(theirs) if word in (program, "--interface"))
        assert words_of(theirs[theirs_from:]) == words_of(ours[ours_from:]), name


def test_the_fair_share_of_connections_begins_below_what_the_server_takes() -> None:
    assert CALM < CROWDED < CONNECTIONS_MAX == WEB_CONNECTIONS_MAX
