"""`sluice check` and `sluice ask`, as a person calls them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sluice import cli
from tests.integration.ratelimit_service.limiter import RULES, running
from tests.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server


def test_good_rules_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shop.yaml").write_text(RULES)
    assert cli.main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1 file, 4 rules: no problems\n"


def test_every_mistake_is_told_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, other = tmp_path / "shop.yaml", tmp_path / "other.yaml"
    shop.write_text(RULES.replace("minute", "minuet").replace("allow", "maybe"))
    other.write_text("domain: [\n")
    assert cli.main(["check", str(shop), str(other)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        f"{other}:2:1:", f"{shop}:4:24:", f"{shop}:9:23:",
    ]  # fmt: skip
    assert "did you mean 'minute'?" in lines[1]
    assert cli.main(["check", "--json", str(shop)]) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [(problem["line"], problem["column"]) for problem in problems] == [(4, 24), (9, 23)]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: b\n---\nc: d\n", b"- &a [*a]\n", b"\0"])
def test_odd_files_are_told_of_and_not_tripped_over(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "odd.yaml"
    file.write_bytes(content)
    assert cli.main(["check", str(file)]) == 1
    assert str(file) in capsys.readouterr().out


def test_a_missing_file_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(tmp_path / "none.yaml")]) == 1
    assert "cannot be read (No such file or directory)" in capsys.readouterr().out


async def test_ask_charges_and_shows_what_is_left(
    tmp_path: Path, valkey: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path, valkey.url) as limiter:
        await limiter.ready()
        address = ["--address", f"127.0.0.1:{limiter.grpc_port}"]
        assert cli.main(["ask", "shop", "hourly=x", "client_id=y", "--hits", "2", *address]) == 0
        said = capsys.readouterr().out
        assert "3 a hour" not in said
        assert "3 an hour" in said
        assert "5 a minute (per client)" in said
        assert cli.main(["ask", "shop", "hourly=x", "--hits", "2", "--json", *address]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["overall_code"] == "OVER_LIMIT"
        assert answer["statuses"][0]["limit_remaining"] == 1
        await limiter.channel.close()


def test_ask_says_what_a_descriptor_looks_like(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ask", "shop", "alice"]) == 2
    assert "write key=value" in capsys.readouterr().err


def test_ask_says_when_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ask", "shop", "k=v", "--address", f"127.0.0.1:{free_port()}"]) == 3
    said = capsys.readouterr().err
    assert "does not answer" in said
    assert "Traceback" not in said
