"""Structured logs, as JSON or as text for people, that never carry a secret.

structlog shapes what we say, the standard library delivers it, and what libraries log through the
standard library goes the same way. Two nets hold secrets back: values under keys named like a
secret are masked, and every known secret text is replaced in the finished line, wherever it got
in (a repr, an exception, a URL). Exceptions are rendered once, without local variables.

    configure(settings.log, secrets=secrets(settings))
    log = get_logger(__name__)
    log.warning("redis is away", redis="ratelimit", detail=text)
"""

from __future__ import annotations

import json
import logging
import re
import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

from chassis.masking import MASK, mask_urls
from chassis.settings import choice, setting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import EventDict, Processor, WrappedLogger


class LogLevel(Enum):
    """How much is said; the words of the reference and of Python."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    WARNING = "warning"
    ERROR = "error"
    FATAL = "fatal"
    PANIC = "panic"
    CRITICAL = "critical"


class LogFormat(Enum):
    """`json` for machines, `text` for files and pipes, `console` in colour for a terminal."""

    JSON = "json"
    TEXT = "text"
    CONSOLE = "console"


_LEVELS = {
    LogLevel.TRACE: logging.DEBUG,
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARN: logging.WARNING,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
    LogLevel.FATAL: logging.CRITICAL,
    LogLevel.PANIC: logging.CRITICAL,
    LogLevel.CRITICAL: logging.CRITICAL,
}

_SECRET_KEY = re.compile(
    r"(?:^|[_.\-])(?:pass|password|passwd|secret|token|authorization|auth|credentials?|cookie"
    r"|api_?key|private_?key)$",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(Bearer\s+)[\w.~+/=\-]{8,}", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
# What these say at debug level is about themselves, several lines for each of our calls.
_CHATTY = ("grpc", "asyncio")
# A shorter secret is replaced only where it stands alone, or a password "a" would eat the log.
_SHORTEST_ANYWHERE = 6
# Deeper than this nothing is worth reading in a log line.
_DEEPEST = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class LogSettings:
    """How this process logs; a field of every service's settings."""

    level: LogLevel = setting(
        "LOG_LEVEL", LogLevel.INFO, parse=choice(LogLevel), doc="the least that is logged"
    )
    format: LogFormat = setting(
        "LOG_FORMAT", LogFormat.TEXT, parse=choice(LogFormat), doc="how a log line looks"
    )


class Redactor:
    """Replaces every known secret in a text, and what looks like one in a URL or a header."""

    def __init__(self, secrets: Iterable[str]) -> None:
        patterns = []
        for secret in sorted(set(secrets), key=len, reverse=True):
            # A JSON line holds the secret escaped, so both spellings are looked for.
            for spelling in {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]} - {""}:
                pattern = re.escape(spelling)
                short = len(secret) < _SHORTEST_ANYWHERE
                patterns.append(rf"(?<!\w){pattern}(?!\w)" if short else pattern)
        self._known = re.compile("|".join(patterns)) if patterns else None

    def __call__(self, text: str) -> str:
        """Return the text with MASK in place of secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return _BEARER.sub(rf"\g<1>{MASK}", mask_urls(text))


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Make a logger; until `configure` is called the standard library's defaults apply."""
    return cast(
        "structlog.stdlib.BoundLogger",
        structlog.wrap_logger(
            logging.getLogger(name),
            processors=[
                structlog.stdlib.filter_by_level,
                *_shared_processors(),
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        ),
    )


def configure(
    settings: LogSettings, *, secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Send everything that is logged in this process to `stream` (stderr). May be called again."""
    target = stream or sys.stderr
    handler = _Handler(target)
    render = _renderer(settings.format, colours=target.isatty())
    redact = Redactor(secrets)

    def finish(logger: WrappedLogger, method: str, event: EventDict) -> str:
        return redact(str(render(logger, method, event)))

    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared_processors(), structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                mask_secret_keys,
                finish,
            ],
        )
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LEVELS[settings.level])
    for library in _CHATTY:
        logging.getLogger(library).setLevel(max(_LEVELS[settings.level], logging.INFO))
    # It tells every event of a watched folder, those of our own log file there among them.
    logging.getLogger("watchfiles").setLevel(max(_LEVELS[settings.level], logging.WARNING))


def mask_secret_keys(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask values whose key says that they are secret, at any depth."""
    return {key: _masked(key, value, _DEEPEST) for key, value in event.items()}


class _Handler(logging.StreamHandler[TextIO]):
    """A type of its own, so that configuring again replaces ours and leaves other people's."""


def _masked(key: object, value: Any, depth: int) -> Any:
    if isinstance(key, str) and _SECRET_KEY.search(key):
        return MASK
    if depth == 0:
        return repr(value)
    if isinstance(value, dict):
        return {inner: _masked(inner, item, depth - 1) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(None, item, depth - 1) for item in value]
    return value


def _shared_processors() -> list[Processor]:
    return [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]


def _renderer(form: LogFormat, *, colours: bool) -> Processor:
    if form is LogFormat.JSON:
        return structlog.processors.JSONRenderer(default=repr, ensure_ascii=False)
    console = structlog.dev.ConsoleRenderer(
        colors=form is LogFormat.CONSOLE and colours,
        exception_formatter=structlog.dev.plain_traceback,
        pad_event_to=0,
        pad_level=False,
    )

    def render(logger: WrappedLogger, method: str, event: EventDict) -> str:
        return str(console(logger, method, {key: _one_line(key, event[key]) for key in event}))

    return render


def _one_line(key: str, value: Any) -> Any:
    # What a client sent must not be able to write log lines of its own.
    if key in ("exception", "stack"):
        return value
    shown = value if isinstance(value, str) else repr(value)
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], shown)
