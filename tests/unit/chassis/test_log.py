"""Logs: both formats, levels in any case, and no secret ever."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from chassis.log import LogSettings, Redactor, configure, get_logger
from chassis.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Said = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def lines() -> Callable[..., io.StringIO]:
    """Configure logging with environment variables; returns the stream it writes to."""

    def configured(*secrets: str, **environ: str) -> io.StringIO:
        stream = io.StringIO()
        configure(load(LogSettings, environ), secrets=secrets, stream=stream)
        return stream

    return configured


def as_json(stream: io.StringIO) -> Said:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_holds_what_was_said(lines: Callable[..., io.StringIO]) -> None:
    stream = lines(LOG_FORMAT="json")
    get_logger("part").warning("redis is away", redis="main", tries=3)
    (said,) = as_json(stream)
    assert said.pop("timestamp").endswith("Z")
    assert said == {
        "event": "redis is away",
        "level": "warning",
        "logger": "part",
        "redis": "main",
        "tries": 3,
    }


def test_the_standard_library_goes_the_same_way(lines: Callable[..., io.StringIO]) -> None:
    stream = lines("hunter22", LOG_FORMAT="json")
    logging.getLogger("library").error("cannot reach %s", "x:hunter22", extra={"token": "abc"})
    (said,) = as_json(stream)
    assert (said["event"], said["level"], said["token"]) == (
        "cannot reach x:******",
        "error",
        "******",
    )


@pytest.mark.parametrize("form", ["json", "text", "console", "TEXT"])
def test_no_format_shows_a_secret(form: str, lines: Callable[..., io.StringIO]) -> None:
    stream = lines('hunter"22\\', "p@ss-word", LOG_FORMAT=form)
    log = get_logger("part")
    log.warning(
        'says hunter"22\\ in text',
        password="plain1",  # noqa: S106  it must not be shown
        db_auth="plain2",
        nested={"list": [{"Authorization": "plain3", "ok": 'hunter"22\\'}]},
        thing=RuntimeError("p@ss-word"),
        url="redis://ann:plain4@host:1",
        header="Bearer plain5plain5",
    )
    try:
        raise RuntimeError('p@ss-word and hunter"22\\')  # noqa: TRY301  its traceback is the point
    except RuntimeError:
        log.exception("failed")
    told = stream.getvalue()
    for secret in ('hunter"22', "hunter\\", "p@ss-word", *(f"plain{n}" for n in range(1, 6))):
        assert secret not in told
    assert "RuntimeError" in told
    assert "redis://ann:******@host:1" in told


def test_an_exception_is_rendered_once_and_without_local_variables(
    lines: Callable[..., io.StringIO],
) -> None:
    stream = lines(LOG_FORMAT="text")
    local_secret = "never-shown-" + "value"
    try:
        int(local_secret[:0] or "x")
    except ValueError:
        get_logger("part").exception("failed")
    told = stream.getvalue()
    assert told.count("Traceback") == 1
    assert local_secret not in told


def test_a_client_cannot_write_log_lines_of_its_own(lines: Callable[..., io.StringIO]) -> None:
    stream = lines(LOG_FORMAT="text")
    get_logger("part").warning("bad domain\nfake", domain="a\r\n2026-01-01 [error] forged\x1b[31m")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("DEBUG", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("WARN", ["warning", "error"]),
        ("Warning", ["warning", "error"]),
        ("error", ["error"]),
        ("fatal", []),
    ],
)
def test_levels_in_any_case(
    level: str, heard: list[str], lines: Callable[..., io.StringIO]
) -> None:
    stream = lines(LOG_FORMAT="json", LOG_LEVEL=level)
    log = get_logger(f"part.{level}")
    for method in ("debug", "info", "warning", "error"):
        getattr(log, method)("said")
    assert [said["level"] for said in as_json(stream)] == heard


def test_configuring_again_replaces_the_first_time(lines: Callable[..., io.StringIO]) -> None:
    first, second = lines(LOG_FORMAT="json"), lines(LOG_FORMAT="json")
    get_logger("part").warning("once")
    assert (len(as_json(first) if first.getvalue() else []), len(as_json(second))) == (0, 1)


@pytest.mark.parametrize(
    ("secret", "text", "told"),
    [
        ("pw", "pw pwd xpw (pw)", "****** pwd xpw (******)"),
        ("hunter22", "xhunter22x", "x******x"),
        ("", "nothing", "nothing"),
    ],
)
def test_a_short_secret_is_replaced_where_it_stands_alone(
    secret: str, text: str, told: str
) -> None:
    assert Redactor([secret])(text) == told


def test_the_longer_of_two_secrets_goes_first() -> None:
    assert Redactor(["hunter", "hunter22"])("hunter22") == "******"
