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
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, overload
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
_VARIABLE: Final = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")


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
    prefix: tuple[str, str] = ("", "")
    switch: _Setting | None = None
    required: tuple[str, ...] = ()


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


@overload
def group(cls: type[S], *, prefix: tuple[str, str] = ...) -> S: ...
@overload
def group(
    cls: type[S],
    *,
    prefix: tuple[str, str] = ...,
    switch: str,
    doc: str,
    required: tuple[str, ...] = ...,
) -> S | None: ...
def group(
    cls: type[S],
    *,
    prefix: tuple[str, str] = ("", ""),
    switch: str = "",
    doc: str = "",
    required: tuple[str, ...] = (),
) -> S | None:
    """Declare a field that is itself a settings class.

    `prefix=("REDIS_", "REDIS_PERSECOND_")` renames its variables that begin with the first to
    begin with the second, so that one class serves two connections.

    With `switch`, a flag that `doc` explains, the field is None while that is not true, and the
    group's variables are not looked at. `required` names fields of `cls` whose default is of no
    use in this place: when the switch is on, their variables must be set.
    """
    if not switch:
        meta = {_KEY: _Group(cls=cls, prefix=prefix)}
        return dataclasses.field(default_factory=cls, metadata=meta)
    flagged = _Setting(env=switch, parser=flag, doc=doc, secret=False, shared=True)
    meta = {_KEY: _Group(cls=cls, prefix=prefix, switch=flagged, required=required)}
    return dataclasses.field(default=None, metadata=meta)


def load(cls: type[S], environ: Mapping[str, str]) -> S:
    """Read `cls` from `environ`; SettingsError names every mistake, not only the first."""
    problems: list[str] = []
    settings: S | None = _read(_Group(cls=cls), environ, problems)
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
    rows: dict[str, SettingRow] = {}
    for row in _rows(_Group(cls=cls)):
        rows.setdefault(row.env, row)  # what two groups share is one variable
    return tuple(rows.values())


def _read(group: _Group, environ: Mapping[str, str], problems: list[str]) -> Any:
    """Read a group; None where it is switched off or has problems."""
    before = len(problems)
    values: dict[str, Any] = {}
    written: dict[str, str] = {}
    if group.switch is not None and not _read_switch(group.switch, environ, problems):
        return None
    for field in dataclasses.fields(group.cls):
        spec = field.metadata.get(_KEY)
        if isinstance(spec, _Group):
            values[field.name] = _read(spec, environ, problems)
        elif isinstance(spec, _Setting):
            env = _rename(spec, group.prefix)
            raw = environ.get(env, "")
            written[field.name] = _written(spec, env, raw)
            if raw:
                try:
                    values[field.name] = spec.parser(raw)
                except ValueError as error:
                    problems.append(f"{written[field.name]}: {mask_value(str(error))}")
            elif field.default is REQUIRED or field.name in group.required:
                doc = _renamed(spec.doc, group)
                problems.append(f"{env} is not set; it must be: {doc} ({spec.parser.kind})")
    if len(problems) > before:
        return None
    settings = group.cls(**values)
    check: Callable[[], Iterable[tuple[str, str]]] | None = getattr(settings, "check", None)
    for name, message in check() if check else ():
        told = mask_value(_renamed(message, group))
        problems.append(f"{written.get(name, name)}: {told}")
    return settings if len(problems) == before else None


def _read_switch(switch: _Setting, environ: Mapping[str, str], problems: list[str]) -> bool:
    raw = environ.get(switch.env, "")
    try:
        return bool(raw) and bool(switch.parser(raw))
    except ValueError as error:
        problems.append(f"{_written(switch, switch.env, raw)}: {error}")
        return False


def _written(spec: _Setting, env: str, raw: str) -> str:
    return f"{env}={_mask(spec, raw)}"


def _rows(group: _Group) -> Iterator[SettingRow]:
    if group.switch is not None:
        yield _row(group.switch.env, group.switch, "false", group.switch.doc)
    for field in dataclasses.fields(group.cls):
        spec = field.metadata.get(_KEY)
        if isinstance(spec, _Group):
            yield from _rows(spec)
        elif isinstance(spec, _Setting):
            must = field.name in group.required
            default = repr(REQUIRED) if must else _show_default(spec, field)
            yield _row(_rename(spec, group.prefix), spec, default, _renamed(spec.doc, group))


def _row(env: str, spec: _Setting, default: str, doc: str) -> SettingRow:
    return SettingRow(env=env, kind=spec.parser.kind, default=default, doc=doc, secret=spec.secret)


def _walk_values(
    settings: object, prefix: tuple[str, str] = ("", "")
) -> Iterator[tuple[str, _Setting, Any, str]]:
    for field in dataclasses.fields(cast("Any", settings)):
        spec = field.metadata.get(_KEY)
        value = getattr(settings, field.name)
        if isinstance(spec, _Group):
            if spec.switch is not None:
                on = value is not None
                yield spec.switch.env, spec.switch, on, _show(spec.switch, on)
            if value is not None:
                yield from _walk_values(value, spec.prefix)
        elif isinstance(spec, _Setting):
            yield _rename(spec, prefix), spec, value, _show(spec, value)


def _renamed(sentence: str, group: _Group) -> str:
    """Return a sentence with the names that the group's variables have in this place."""
    names = {
        spec.env: _rename(spec, group.prefix)
        for field in dataclasses.fields(group.cls)
        if isinstance(spec := field.metadata.get(_KEY), _Setting)
    }
    return _VARIABLE.sub(lambda found: names.get(found[0], found[0]), sentence)


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
