"""Settings: the environment, read once at start, all mistakes reported together.

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings:
        port: int = setting("GRPC_PORT", 8081, parse=port, doc="where gRPC listens")
        redis: RedisSettings = group(RedisSettings)

        def check(self) -> Iterable[tuple[str, str]]:       # optional: what spans several fields
            if self.port == 0:
                yield "port", "is 0; write the port to listen on"

    settings = load(Settings, os.environ)

An empty variable counts as unset, as it does in the reference. Nobody reads the environment later.
The parsers are those of `chassis.parsers`, offered here too so that a config file needs one import.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import unquote

from chassis.errors import OperatorError
from chassis.masking import MASK, mask_value, passwords_in
from chassis.parsers import (
    Parser,
    choice,
    duration,
    duration_between,
    flag,
    listing,
    mapping,
    number,
    path,
    port,
    ratio,
    text,
    url,
    whole,
)

__all__ = [
    "REQUIRED", "Parser", "SettingRow", "SettingsError", "choice", "describe", "duration",
    "duration_between", "flag", "group", "listing", "load", "mapping", "masked", "number", "path",
    "port", "ratio", "secrets", "setting", "text", "url", "whole",
]  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

D = TypeVar("D")
T = TypeVar("T")
S = TypeVar("S")

_KEY: Final = "sluice.setting"


class SettingsError(OperatorError):
    """Settings that cannot be used: a line for each, `NAME=value: what is wrong; what to write`."""

    exit_code = 2

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class _Required:
    """The default of a setting that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED: Final[Any] = _Required()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Setting:
    env: str
    parser: Parser[Any]
    doc: str
    secret: bool
    shared: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    cls: type[Any]
    prefix: tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingRow:
    """One row of the generated table of settings; every part is printable text."""

    env: str
    kind: str
    default: str
    doc: str
    secret: bool


def setting(
    env: str,
    default: D,
    *,
    parse: Parser[T],
    doc: str,
    secret: bool = False,
    shared: bool = False,
) -> D | T:
    """Declare a dataclass field that is read from the environment variable `env`.

    `default` is a value of the final type, or REQUIRED. A `secret` is masked wherever settings are
    shown. A `shared` setting keeps its name when its group is used a second time under another
    prefix (one CA file for two Redis connections).
    """
    meta = {_KEY: _Setting(env=env, parser=parse, doc=doc, secret=secret, shared=shared)}
    shown = not (secret or parse.may_hold_password)
    if default.__class__.__hash__ is None:  # dataclasses refuse a dict or list as such
        return dataclasses.field(default_factory=lambda: default, repr=shown, metadata=meta)
    return dataclasses.field(default=default, repr=shown, metadata=meta)


def group(cls: type[S], *, prefix: tuple[str, str] = ("", "")) -> S:
    """Declare a field that is itself a settings class.

    `prefix=("REDIS_", "REDIS_PERSECOND_")` renames its variables that begin with the first to
    begin with the second, so that one class serves two connections.
    """
    meta = {_KEY: _Group(cls=cls, prefix=prefix)}
    return dataclasses.field(default_factory=cls, metadata=meta)


def load(cls: type[S], environ: Mapping[str, str]) -> S:
    """Read `cls` from `environ`; SettingsError names every mistake, not only the first."""
    problems: list[str] = []
    settings = _read(cls, environ, ("", ""), problems)
    if settings is None:
        raise SettingsError(problems)
    return settings


def masked(settings: object) -> dict[str, str]:
    """Every variable and its value as printable text, secrets and passwords in URLs masked."""
    return {env: _mask(spec, shown) for env, spec, _, shown in _walk_values(settings)}


def secrets(settings: object) -> tuple[str, ...]:
    """Every secret text in these settings, longest first: what logs must never show."""
    found: set[str] = set()
    for _, spec, value, shown in _walk_values(settings):
        if spec.secret and value:
            # `user:password` is a secret as a whole and in its second half.
            found.update(part for part in (shown, shown.partition(":")[2]) if part)
        for password in passwords_in(shown):
            found.update((password, unquote(password)))
    return tuple(sorted(found, key=lambda secret: (-len(secret), secret)))


def describe(cls: type[Any]) -> tuple[SettingRow, ...]:
    """List this class's rows of the generated table of settings, in the order of the fields."""
    return tuple(
        SettingRow(
            env=env,
            kind=spec.parser.kind,
            default=_show_default(spec, field),
            doc=spec.doc,
            secret=spec.secret,
        )
        for env, spec, field in _walk_fields(cls, ("", ""))
    )


def _read(
    cls: type[S], environ: Mapping[str, str], prefix: tuple[str, str], problems: list[str]
) -> S | None:
    before = len(problems)
    values: dict[str, Any] = {}
    written: dict[str, str] = {}
    for field in dataclasses.fields(cast("Any", cls)):
        spec = field.metadata.get(_KEY)
        if isinstance(spec, _Group):
            values[field.name] = _read(spec.cls, environ, spec.prefix, problems)
        elif isinstance(spec, _Setting):
            env = _rename(spec, prefix)
            raw = environ.get(env, "")
            written[field.name] = f"{env}={_mask(spec, raw)}"
            if raw:
                try:
                    values[field.name] = spec.parser(raw)
                except ValueError as error:
                    problems.append(f"{written[field.name]}: {mask_value(str(error))}")
            elif field.default is REQUIRED:
                problems.append(f"{env} is not set; it must be: {spec.doc} ({spec.parser.kind})")
    if len(problems) > before:
        return None
    settings = cls(**values)
    check: Callable[[], Iterable[tuple[str, str]]] | None = getattr(settings, "check", None)
    for name, message in check() if check else ():
        problems.append(f"{written.get(name, name)}: {mask_value(message)}")
    return settings if len(problems) == before else None


def _walk_fields(
    cls: type[Any], prefix: tuple[str, str]
) -> Iterator[tuple[str, _Setting, dataclasses.Field[Any]]]:
    for field in dataclasses.fields(cls):
        spec = field.metadata.get(_KEY)
        if isinstance(spec, _Group):
            yield from _walk_fields(spec.cls, spec.prefix)
        elif isinstance(spec, _Setting):
            yield _rename(spec, prefix), spec, field


def _walk_values(
    settings: object, prefix: tuple[str, str] = ("", "")
) -> Iterator[tuple[str, _Setting, Any, str]]:
    for field in dataclasses.fields(cast("Any", settings)):
        spec = field.metadata.get(_KEY)
        value = getattr(settings, field.name)
        if isinstance(spec, _Group):
            yield from _walk_values(value, spec.prefix)
        elif isinstance(spec, _Setting):
            yield _rename(spec, prefix), spec, value, _show(spec, value)


def _rename(spec: _Setting, prefix: tuple[str, str]) -> str:
    old, new = prefix
    if old and not spec.shared and spec.env.startswith(old):
        return new + spec.env.removeprefix(old)
    return spec.env


def _show(spec: _Setting, value: Any) -> str:
    return "" if value is None else spec.parser.show(value)


def _show_default(spec: _Setting, field: dataclasses.Field[Any]) -> str:
    if field.default is REQUIRED:
        return "required"
    if field.default_factory is not dataclasses.MISSING:
        return _show(spec, field.default_factory())
    return _show(spec, field.default)


def _mask(spec: _Setting, shown: str) -> str:
    if spec.secret:
        return MASK if shown else ""
    return mask_value(shown)
