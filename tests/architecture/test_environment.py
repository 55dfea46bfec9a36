"""config/env.py: every variable documented, every wrong one named, all at once."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from config import env
from tests.waiting import HANG_S

PROD = {
    "SECRET_KEY": "s" * 50,
    "SECRETS_KEY": "A" * 43 + "=",
    "DATABASE_URL": "postgresql://takas@db.example.com/takas",
    "REDIS_URL": "redis://redis.example.com:6379/0",
    "ALLOWED_HOSTS": "trade.example.com,api.example.com",
    "CSRF_TRUSTED_ORIGINS": "https://trade.example.com",
}
NAMES = [item.name.upper() for item in fields(env.Environment)]


@pytest.fixture(autouse=True)
def no_files_and_no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(env, "BASE_DIR", tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def set_all(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_example_documents_every_variable_and_no_other() -> None:
    text = (Path(__file__).parents[2] / ".env.example").read_text()
    documented = re.findall(r"^#?([A-Z][A-Z_]+)=", text, flags=re.MULTILINE)
    assert sorted(documented) == sorted(NAMES)


def test_only_env_py_reads_the_environment() -> None:
    root = Path(__file__).parents[2]
    # The entry points only set what Django needs to find its settings, and handing all of it on
    # to a child (`**os.environ`) reads no variable.
    reading = re.compile(
        r"os\.getenv|(?<!\*\*)os\.environ(?!\.setdefault)|from os import .*environ"
    )
    apps = ("adminpanel", "config", "exchange", "matching", "orders", "risk", "wallets")
    own = [path for app in apps for path in (root / app).rglob("*.py")]
    readers = {str(p.relative_to(root)) for p in own if reading.search(p.read_text())}
    assert readers == {"config/env.py"}


def test_development_needs_no_variable() -> None:
    environment = env.environment_read("dev")
    assert environment.redis_broker_url == environment.redis_url


def test_production_names_every_missing_variable_at_once() -> None:
    with pytest.raises(env.EnvironmentInvalid) as raised:
        env.environment_read("prod")
    for name in PROD:
        assert f"{name}: is missing" in str(raised.value)
        assert "set it to:" in str(raised.value)


def test_production_accepts_a_complete_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, PROD)
    environment = env.environment_read("prod")
    assert environment.allowed_hosts == ["trade.example.com", "api.example.com"]
    assert environment.demo is False


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("DATABASE_URL", "mysql://x/y", "must begin with postgresql://"),
        ("REDIS_URL", "http://x", "must begin with redis://"),
        ("SECRETS_KEY", "short", "SECRETS_KEY"),
        ("METRICS_PORT", "ninety", "METRICS_PORT"),
        ("METRICS_PORT", "70000", "must be from 0 to 65535"),
        ("DEMO", "yse", "must be on or off"),
        ("ROLE", "boss", "must be one of web, ws"),
        ("WEB_SERVES", "orders", "must be one of all, api, pages"),
        ("CSRF_TRUSTED_ORIGINS", "trade.example.com", "must look like https://"),
        ("WS_URL", "https://x/ws", "must begin with ws://"),
        ("LOG_LEVEL", "loud", "must be one of DEBUG"),
    ],
)
def test_wrong_value_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(env.EnvironmentInvalid, match=re.escape(complaint)) as raised:
        env.environment_read("dev")
    assert f"{name}:" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("SECRET_KEY", "short"), ("DEMO", "on"), ("ALLOWED_HOSTS", "*")],
)
def test_production_refuses_what_development_may(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    set_all(monkeypatch, {**PROD, name: value})
    with pytest.raises(env.EnvironmentInvalid, match=name):
        env.environment_read("prod")


def test_each_redis_use_can_have_a_server_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_BROKER_URL", "redis://broker:6379/3")
    environment = env.environment_read("dev")
    assert environment.redis_broker_url == "redis://broker:6379/3"
    assert environment.redis_streams_url == environment.redis_url


def test_what_a_stack_left_is_found_but_not_taken_for_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "stack.env").write_text("# by the stack\nREDIS_URL=unix:///tmp/x.sock\n")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert env.environment_read("dev").redis_url == "unix:///tmp/x.sock"
    assert "REDIS_URL" not in env.child_environment({})
    monkeypatch.setenv("REDIS_URL", "redis://chosen:6379/0")
    assert env.environment_read("dev").redis_url == "redis://chosen:6379/0"


def test_a_wrong_variable_ends_the_process_with_one_list() -> None:
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=root,
        env={"DEMO": "perhaps", "ROLE": "boss", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert result.returncode == 78
    assert "DEMO: must be on or off" in result.stderr
    assert "ROLE: must be one of" in result.stderr
    assert "Traceback" not in result.stderr
