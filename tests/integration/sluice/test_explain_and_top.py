"""`sluice explain`, `sluice top` and the rules that `sluice ask` names, on a real limiter."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from sluice import cli
from tests.integration.ratelimit_service.limiter import running
from tests.integration.sluice.running import Up
from tests.servers import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.integration.ratelimit_service.limiter import Limiter
    from tests.servers import Server

RULES = """\
domain: shop
descriptors:
  - key: client_id
    rate_limit: {unit: minute, requests_per_unit: 5, burst: 8, name: per client}
  - key: path
    value: /a*
    limits:
      - {unit: second, requests_per_unit: 5}
      - {unit: hour, requests_per_unit: 20, unit_multiplier: 2, algorithm: sliding_window}
  - key: quiet
    value: "[bold]"
    shadow_mode: true
    rate_limit: {unit: hour, requests_per_unit: 1}
  - key: open
    rate_limit: {unlimited: true}
"""


@pytest.fixture
async def limiter(tmp_path: Path, valkey: Server) -> AsyncIterator[Limiter]:
    with running(tmp_path, valkey.url, RULES) as started:
        await started.ready()
        yield started
        await started.channel.close()


def admin(limiter: Limiter) -> str:
    return f"127.0.0.1:{limiter.admin_port}"


def explain(limiter: Limiter, *words: str) -> int:
    return cli.main(["explain", "shop", *words, "--address", admin(limiter)])


# -- explain -------------------------------------------------------------------------------------


async def test_explain_shows_rules_reasons_balances_and_keys(
    limiter: Limiter, valkey: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    await limiter.ask({"client_id": "alice"}, hits=6)
    words = ["client_id=alice", "path=/abc", "quiet=[bold]", "open=x"]
    assert explain(limiter, *words, "--hits", "3") == 0
    titles, client, second, hour, quiet, open_ = capsys.readouterr().out.splitlines()
    assert " ".join(titles.split()) == "rule why algorithm limit balance would be reset key"
    for line, parts in (
        (client, ["shop.client_id", "any client_id", "token_bucket", "5 a minute, burst 8 (per client)",
                  "2 of 8", "OVER_LIMIT", "rate_limit:{", ":minute"]),
        (second, ["shop.path_/a*", "path=/abc fits path=/a*", "5 a second", "5 of 5", " OK "]),
        (hour, ["shop.path_/a*#2", "sliding_window", "20 per 2 hours", "20 of 20"]),
        (quiet, ["shop.quiet_[bold]", "quiet=[bold] exactly", "1 an hour", "OK (shadow mode)"]),
        (open_, ["shop.open", "any open", "unlimited"]),
    ):  # fmt: skip
        for part in parts:
            assert part in line
    explain(limiter, "client_id=alice")
    assert "2 of 8" in capsys.readouterr().out, "nothing was charged"


async def test_explain_exits_1_where_nothing_limits(
    limiter: Limiter, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(limiter, "client_id=alice", "nobody=x") == 1
    said = capsys.readouterr().out
    assert "shop.client_id" in said
    assert "nobody=x is not limited: no descriptor below shop fits entry 0, nobody=x" in said


async def test_explain_as_json(limiter: Limiter, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(limiter, "path=/abc", "nobody=x", "--json") == 1
    path, nobody = json.loads(capsys.readouterr().out)["descriptors"]
    assert path["descriptor"] == "path=/abc"
    assert [match["rule"] for match in path["matches"]] == ["shop.path_/a*", "shop.path_/a*#2"]
    assert path["matches"][0]["would_be"] == "OK"
    assert path["matches"][0]["key"].startswith("rate_limit:{")
    assert (nobody["matches"], "nobody=x" in nobody["unmatched_reason"]) == ([], True)


async def test_explain_on_the_wrong_port_says_so(
    limiter: Limiter, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = f"127.0.0.1:{limiter.grpc_port}"
    assert cli.main(["explain", "shop", "a=b", "--address", wrong]) == 1
    assert "name the right port with --address" in capsys.readouterr().err


def test_explain_says_when_nobody_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATELIMIT_ADMIN_PORT", str(free_port()))
    assert cli.main(["explain", "shop", "k=v"]) == 3
    assert "does not answer" in capsys.readouterr().err
    assert cli.main(["explain", "shop", "kv"]) == 2
    assert "write key=value" in capsys.readouterr().err
    assert cli.main(["explain", "shop"]) == 2


async def test_the_admin_port_that_sluice_up_tells_explains(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Up("--only", "redis,ratelimit") as mesh:
        address = (await mesh.ready())["ratelimit"]["admin"]
        assert address == f"127.0.0.1:{mesh.first_port + 3}"
        assert cli.main(["explain", "demo", "client_id=ada", "--address", address]) == 0
        assert "demo.client_id" in capsys.readouterr().out


# -- ask -----------------------------------------------------------------------------------------


async def test_ask_names_the_rules_where_the_admin_port_is_known(
    limiter: Limiter, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ["--address", f"127.0.0.1:{limiter.grpc_port}"]
    words = ["client_id=alice", "path=/abc", "open=x", "nobody=x"]
    assert cli.main(["ask", "shop", *words, *address, "--admin", admin(limiter)]) == 0
    titles, client, path, open_, nobody, code = capsys.readouterr().out.splitlines()
    assert titles.split() == ["descriptor", "code", "rule", "limit", "remaining", "reset"]
    assert client.split()[:3] == ["client_id=alice", "OK", "shop.client_id"]
    assert path.split()[:3] == ["path=/abc", "OK", "shop.path_/a*"]
    assert open_.split()[:4] == ["open=x", "OK", "shop.open", "unlimited"]
    assert nobody.split()[:4] == ["nobody=x", "OK", "-", "none"]
    assert code == "OK"
    command = ["ask", "shop", "path=/abc", *address, "--admin", admin(limiter), "--json"]
    assert cli.main(command) == 0
    assert json.loads(capsys.readouterr().out)["rules"] == ["shop.path_/a*"]


async def test_ask_names_the_limit_where_nobody_knows_its_rule(
    limiter: Limiter, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ask", "shop", "client_id=a", "--address", f"127.0.0.1:{limiter.grpc_port}"]
    for extra in ([], ["--admin", f"127.0.0.1:{free_port()}"]):
        assert cli.main([*command, *extra]) == 0
        line = capsys.readouterr().out.splitlines()[1]
        assert line.split()[:4] == ["client_id=a", "OK", "per", "client"]
    assert cli.main([*command, "--json"]) == 0
    assert "rules" not in json.loads(capsys.readouterr().out)


async def test_ask_finds_the_admin_port_of_this_machine(
    limiter: Limiter, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRPC_PORT", str(limiter.grpc_port))
    monkeypatch.setenv("RATELIMIT_ADMIN_PORT", str(limiter.admin_port))
    assert cli.main(["ask", "shop", "client_id=a"]) == 0
    assert "shop.client_id" in capsys.readouterr().out


# -- top -----------------------------------------------------------------------------------------


@pytest.fixture
def busy(limiter: Limiter) -> Iterator[Limiter]:
    """Give a limiter that somebody asks all the time, far beyond a limit."""
    stop = threading.Event()
    body = json.dumps(
        {
            "domain": "shop",
            "descriptors": [{"entries": [{"key": "client_id", "value": "greedy\x1b[2J"}]}],
        }
    ).encode()

    def ask() -> None:
        while not stop.wait(0.01):
            limiter.get("/json", port=limiter.http_port, body=body)

    asking = threading.Thread(target=ask)
    asking.start()
    yield limiter
    stop.set()
    asking.join()


def command(limiter: Limiter, *words: str) -> list[str]:
    ops = f"127.0.0.1:{limiter.ops_port}"
    return [sys.executable, "-m", "sluice", "top", "--ops", ops, "--admin", admin(limiter), *words]


def finished(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)


def begun(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def parsed(line: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line)
    return found


async def test_top_once_tells_numbers_to_a_script(busy: Limiter) -> None:
    await wait_until(lambda: asked(busy) > 20, description="the client is over its limit")
    done = await asyncio.to_thread(finished, command(busy, "--once", "--json"))
    (line,) = done.stdout.splitlines()
    found = parsed(line)
    activity = found["activity"]
    assert activity["requests_per_second"] > 1
    assert activity["over_limit_share"] > 0.5
    assert 0 < activity["p50_seconds"] <= activity["p99_seconds"] < 5
    assert activity["redis"]["ratelimit"]["up"]
    assert activity["redis"]["ratelimit"]["calls_per_second"] > 1
    assert 0 < activity["redis"]["ratelimit"]["wait_seconds"] < 5
    (hot,) = found["hot_keys"]
    assert hot["descriptor"]["entries"][0]["value"] == "greedy\x1b[2J"
    assert (hot["rule"], hot["over_limit_share"] > 0.3) == ("shop.client_id", True)
    assert found["trouble"] == ""


def asked(limiter: Limiter) -> float:
    numbers = json.loads(limiter.get("/stats")[1])
    return float(numbers['sluice_ratelimit_decisions_total{code="over_limit"}'])


async def test_top_once_for_people(busy: Limiter) -> None:
    await wait_until(lambda: asked(busy) > 20, description="the client is over its limit")
    done = await asyncio.to_thread(finished, command(busy, "--once"))
    assert "requests/s" in done.stdout
    assert "p99" in done.stdout
    assert "Redis (ratelimit) up" in done.stdout
    assert "client_id=greedy\\x1b[2J" in done.stdout
    assert "\x1b" not in done.stdout


async def test_top_in_a_pipe_goes_on_until_its_reader_leaves(limiter: Limiter) -> None:
    process = begun(command(limiter, "--json"))
    assert process.stdout is not None
    assert process.stderr is not None
    first, second = parsed(process.stdout.readline()), parsed(process.stdout.readline())
    assert (
        first["activity"]["requests_per_second"] == second["activity"]["requests_per_second"] == 0
    )
    process.stdout.close()
    await wait_until(lambda: process.poll() is not None, description="it has ended")
    assert (process.returncode, process.stderr.read()) == (0, "")
    process.stderr.close()


async def test_ctrl_c_ends_it_in_good_order(limiter: Limiter) -> None:
    process = begun(command(limiter))
    assert process.stdout is not None
    assert "requests/s" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (0, "")


class Terminal:
    """A program on a terminal of its own, and what it showed."""

    def __init__(self, words: list[str]) -> None:
        self.shown = ""
        self.status = -1
        self._descriptor, other = pty.openpty()
        # The first terminal that the leader of a session opens is the one it gets Ctrl-C from.
        opened = (os.POSIX_SPAWN_OPEN, 0, os.ttyname(other), os.O_RDWR, 0)
        both = [(os.POSIX_SPAWN_DUP2, 0, descriptor) for descriptor in (1, 2)]
        environ = {**os.environ, "TERM": "xterm"}
        self.pid = os.posix_spawn(
            words[0], words, environ, file_actions=[opened, *both], setsid=True
        )
        os.close(other)

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def shows(self, text: str) -> bool:
        while select.select([self._descriptor], [], [], 0)[0]:
            try:
                self.shown += os.read(self._descriptor, 65536).decode("utf-8", "replace")
            except OSError:
                break
        return text in self.shown

    def ended(self) -> bool:
        self.shows("")
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.status = os.waitstatus_to_exitcode(status)
        return bool(pid)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._descriptor)


@pytest.mark.parametrize("key", ["q", "Q", "\x03"], ids=["q", "Q", "Ctrl-C"])
async def test_top_on_a_terminal_ends_on_a_key(limiter: Limiter, key: str) -> None:
    terminal = Terminal(command(limiter))
    try:
        await wait_until(lambda: terminal.shows("requests/s"), description="it shows numbers")
        terminal.type(key)
        await wait_until(terminal.ended, description="it has ended")
        assert terminal.status == 0
        assert terminal.shown.endswith("\x1b[?25h\x1b[?1049l"), "cursor and screen are back"
        assert "Traceback" not in terminal.shown
    finally:
        terminal.close()


def test_top_says_when_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    assert cli.main(["top", "--once", "--ops", nobody, "--admin", nobody]) == 3
    said = capsys.readouterr().err
    assert f"{nobody} does not answer (" in said
    assert said.count("\n") == 1


async def test_top_goes_without_hot_keys_where_the_admin_port_is_away(
    limiter: Limiter, capsys: pytest.CaptureFixture[str]
) -> None:
    ops, nobody = f"127.0.0.1:{limiter.ops_port}", f"127.0.0.1:{free_port()}"
    assert cli.main(["top", "--once", "--ops", ops, "--admin", nobody]) == 0
    said = capsys.readouterr().out
    assert "0 requests/s" in said
    assert f"{nobody} does not answer" in said


async def test_top_asks_for_the_ops_port_if_it_is_given_another(
    limiter: Limiter, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = f"127.0.0.1:{limiter.http_port}"
    assert cli.main(["top", "--once", "--ops", wrong]) == 1
    assert "with --ops" in capsys.readouterr().err


async def test_top_sees_a_limiter_go_and_come_back(limiter: Limiter) -> None:
    process = begun(command(limiter, "--json"))
    assert process.stdout is not None
    try:
        assert parsed(process.stdout.readline())["trouble"] == ""
        limiter.stop()
        await limiter.ended()
        lines = iter(process.stdout.readline, "")
        assert next(view for view in map(parsed, lines) if view["trouble"])["activity"] is None
        limiter.start()
        await limiter.ready()
        assert next(view for view in map(parsed, lines) if view["activity"])["trouble"] == ""
    finally:
        process.kill()
        process.communicate(timeout=10)
