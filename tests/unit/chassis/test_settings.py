"""Settings read from an environment: defaults, groups, every mistake at once, and no secrets shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from chassis.settings import (
    REQUIRED,
    SettingsError,
    describe,
    duration,
    flag,
    group,
    load,
    mapping,
    masked,
    port,
    secrets,
    setting,
    text,
    url,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    address: str = setting("STORE_URL", "s://h", parse=url("s"), doc="where")
    auth: str = setting("STORE_AUTH", "", parse=text, doc="who", secret=True)
    ca: str = setting("STORE_CA", "", parse=text, doc="whom to trust", shared=True)
    size: int = setting("STORE_SIZE", 5, parse=port, doc="how many")

    def check(self) -> Iterable[tuple[str, str]]:
        if self.size == 13:
            yield "size", "brings bad luck; write 12"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    port: int = setting("PORT", 8080, parse=port, doc="where to listen")
    wait: float = setting("WAIT", 1.5, parse=duration, doc="how long")
    shadow: bool = setting("SHADOW", default=False, parse=flag, doc="only look")
    tags: Mapping[str, str] = setting("TAGS", {}, parse=mapping, doc="labels")
    store: Store = group(Store)
    second: Store = group(Store, prefix=("STORE_", "STORE_SECOND_"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Strict:
    origin: str = setting("ORIGIN", REQUIRED, parse=url("http"), doc="whom to ask")


def problems_of(cls: type[object], environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load(cls, environ)
    assert str(raised.value).splitlines() == list(raised.value.problems)
    return list(raised.value.problems)


def test_nothing_set_gives_the_defaults() -> None:
    settings = load(Settings, {})
    assert (settings.port, settings.wait, settings.shadow, settings.tags) == (8080, 1.5, False, {})
    assert settings.store.address == "s://h"


def test_an_empty_variable_counts_as_unset() -> None:
    assert load(Settings, {"PORT": "", "STORE_URL": ""}) == load(Settings, {})


def test_values_are_read_into_groups_too() -> None:
    settings = load(Settings, {"PORT": "1", "WAIT": "2m", "TAGS": "a:b", "STORE_SIZE": "7"})
    assert (settings.port, settings.wait, settings.tags) == (1, 120.0, {"a": "b"})
    assert (settings.store.size, settings.second.size) == (7, 5)


def test_a_second_group_reads_its_own_prefix_and_shares_what_is_shared() -> None:
    settings = load(Settings, {"STORE_SECOND_SIZE": "9", "STORE_CA": "ca.pem"})
    assert (settings.store.size, settings.second.size) == (5, 9)
    assert (settings.store.ca, settings.second.ca) == ("ca.pem", "ca.pem")


def test_every_mistake_is_reported_at_once_with_what_to_write() -> None:
    assert problems_of(Settings, {"PORT": "x", "SHADOW": "yes", "STORE_SECOND_SIZE": "-1"}) == [
        "PORT=x: is not a whole number; write a whole number from 0 to 65535",
        "SHADOW=yes: is not a flag; write true or false",
        "STORE_SECOND_SIZE=-1: is out of bounds; write a whole number from 0 to 65535",
    ]


def test_a_check_across_fields_reports_under_the_variable_in_force() -> None:
    assert problems_of(Settings, {"STORE_SECOND_SIZE": "13"}) == [
        "STORE_SECOND_SIZE=13: brings bad luck; write 12"
    ]


def test_a_required_setting_that_is_missing_says_what_it_is_for() -> None:
    assert problems_of(Strict, {}) == [
        "ORIGIN is not set; it must be: whom to ask (URL: http://host:port)"
    ]
    assert load(Strict, {"ORIGIN": "http://a:1"}).origin == "http://a:1"


def test_settings_errors_exit_with_two() -> None:
    assert SettingsError(["x"]).exit_code == 2


SECRETIVE = {
    "STORE_AUTH": "ann:hunter22",
    "STORE_URL": "s://bob:p%40ss@w@host:1",
    "STORE_SECOND_AUTH": "plain-secret",
}


def test_secrets_are_masked_wherever_settings_are_shown() -> None:
    settings = load(Settings, SECRETIVE)
    shown = masked(settings)
    assert shown["STORE_AUTH"] == "******"
    assert shown["STORE_URL"] == "s://bob:******@host:1"
    assert shown["STORE_SECOND_AUTH"] == "******"
    assert shown["PORT"] == "8080"
    assert shown["WAIT"] == "1.5s"
    for secret in ("hunter22", "p%40ss", "p@ss", "plain-secret"):
        assert secret not in repr(settings) + repr(shown)


def test_an_unset_secret_is_shown_as_unset() -> None:
    assert masked(load(Settings, {}))["STORE_AUTH"] == ""


def test_all_secret_texts_are_known_to_the_log() -> None:
    found = secrets(load(Settings, SECRETIVE))
    assert {"ann:hunter22", "hunter22", "p%40ss@w", "p@ss@w", "plain-secret"} == set(found)
    assert list(found) == sorted(found, key=len, reverse=True)


@pytest.mark.parametrize(
    "written", ["ftp://bob:hunter22@host", "bob:hunter22@host:1", "s://:hunter22@"]
)
def test_a_refused_value_does_not_show_its_password(written: str) -> None:
    (problem,) = problems_of(Settings, {"STORE_URL": written})
    assert "hunter22" not in problem
    assert problem.startswith("STORE_URL=")


def test_the_documentation_has_a_row_for_every_variable() -> None:
    rows = {row.env: row for row in describe(Settings)}
    assert list(rows)[:4] == ["PORT", "WAIT", "SHADOW", "TAGS"]
    assert "STORE_SECOND_URL" in rows
    assert (rows["WAIT"].kind, rows["WAIT"].default, rows["WAIT"].doc) == (
        "duration",
        "1.5s",
        "how long",
    )
    assert rows["STORE_AUTH"].secret
    assert describe(Strict)[0].default == "required"


@dataclass(frozen=True, kw_only=True, slots=True)
class Switched:
    store: Store = group(Store)
    extra: Store | None = group(
        Store,
        prefix=("STORE_", "STORE_EXTRA_"),
        switch="STORE_EXTRA",
        doc="whether there is another",
        required=("address",),
    )


@pytest.mark.parametrize("off", ["", "false", "0"])
def test_a_group_that_is_off_is_none_and_its_variables_are_not_looked_at(off: str) -> None:
    settings = load(Switched, {"STORE_EXTRA": off, "STORE_EXTRA_SIZE": "many"})
    assert settings.extra is None
    assert masked(settings)["STORE_EXTRA"] == "false"
    assert "STORE_EXTRA_SIZE" not in masked(settings)
    assert secrets(settings) == ()


def test_a_group_that_is_on_is_read_and_its_secrets_are_known() -> None:
    environ = {"STORE_EXTRA": "true", "STORE_EXTRA_URL": "s://x", "STORE_EXTRA_AUTH": "hunter2"}
    settings = load(Switched, environ)
    assert settings.extra == Store(address="s://x", auth="hunter2")
    shown = masked(settings)
    assert (shown["STORE_EXTRA"], shown["STORE_EXTRA_AUTH"]) == ("true", "******")
    assert secrets(settings) == ("hunter2",)


def test_a_group_that_is_on_wants_what_it_has_no_use_for_a_default_of() -> None:
    assert problems_of(Switched, {"STORE_EXTRA": "true"}) == [
        "STORE_EXTRA_URL is not set; it must be: where (URL: s://host:port)"
    ]
    assert problems_of(Switched, {"STORE_EXTRA": "perhaps"}) == [
        "STORE_EXTRA=perhaps: is not a flag; write true or false"
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    one: str = setting("PAIR_ONE", "", parse=text, doc="goes with PAIR_TWO and PAIR_CA")
    two: str = setting("PAIR_TWO", "", parse=text, doc="the other")
    ca: str = setting("PAIR_CA", "", parse=text, doc="for all", shared=True)

    def check(self) -> Iterable[tuple[str, str]]:
        if self.one and not self.two:
            yield "one", "needs PAIR_TWO; PAIR_CA and PAIR_OF_SHOES do not matter"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    first: Pair = group(Pair)
    second: Pair = group(Pair, prefix=("PAIR_", "PAIR_B_"))


def test_what_is_said_of_a_second_group_names_its_own_variables() -> None:
    assert problems_of(Pairs, {"PAIR_B_ONE": "x"}) == [
        "PAIR_B_ONE=x: needs PAIR_B_TWO; PAIR_CA and PAIR_OF_SHOES do not matter"
    ]
    rows = {row.env: row for row in describe(Pairs)}
    assert rows["PAIR_ONE"].doc == "goes with PAIR_TWO and PAIR_CA"
    assert rows["PAIR_B_ONE"].doc == "goes with PAIR_B_TWO and PAIR_CA"


def test_a_variable_that_groups_share_and_a_switch_are_described_once() -> None:
    assert [row.env for row in describe(Pairs)] == [
        "PAIR_ONE", "PAIR_TWO", "PAIR_CA", "PAIR_B_ONE", "PAIR_B_TWO",
    ]  # fmt: skip
    rows = {row.env: row for row in describe(Switched)}
    assert rows["STORE_EXTRA"].default == "false"
    assert rows["STORE_EXTRA_URL"].default == "required"
    assert rows["STORE_EXTRA_SIZE"].default == "5"
