"""The error tree: reasons, and what an operator reads."""

from __future__ import annotations

import re

import pytest

from chassis import errors, listen, redis_replies, settings
from chassis.errors import (
    ConfigError,
    FieldViolation,
    InvalidRequest,
    NotFound,
    OperatorError,
    Problem,
    SluiceError,
)
from chassis.listen import ListenError
from chassis.redis_replies import RedisReplyError


def every_class() -> list[type[SluiceError]]:
    # Not by __subclasses__: services and other tests have classes of their own.
    return [
        found
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, SluiceError)
    ]


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_each_class_has_a_reason_of_its_own_that_error_info_accepts(
    cls: type[SluiceError],
) -> None:
    reason = cls("something is wrong").reason
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{0,61}[A-Z0-9]", reason)
    assert [other for other in every_class() if other.default_reason == reason] == [cls]


def test_the_tree_that_is_drawn_is_the_tree_there_is() -> None:
    parents: list[type[BaseException]] = [Exception]
    drawn = []
    for line in (errors.__doc__ or "").splitlines():
        branch = re.match(r"    (?P<depth>(?:[|] {3}| {4})*)[|`]-- (?P<name>\w+)", line)
        if branch is not None:
            found = named(branch["name"])
            del parents[len(branch["depth"]) // 4 + 1 :]
            assert found.__base__ is parents[-1], branch["name"]
            parents.append(found)
            drawn.append(found)
    assert {*every_class(), OperatorError, ConfigError, RedisReplyError, ListenError} <= set(drawn)


def named(name: str) -> type[BaseException]:
    homes = (errors, settings, listen, redis_replies)
    found: type[BaseException] = next(vars(home)[name] for home in homes if name in vars(home))
    return found


def test_a_given_reason_wins_over_the_default() -> None:
    error = NotFound("no such rule", reason="RULE_NOT_FOUND", metadata={"rule": "a"})
    assert (error.reason, error.metadata, str(error)) == (
        "RULE_NOT_FOUND",
        {"rule": "a"},
        "no such rule",
    )


def test_one_wrong_field_names_itself_in_the_message_and_in_the_violations() -> None:
    error = InvalidRequest.field("domain", "is empty; name a domain", reason="EMPTY_DOMAIN")
    assert str(error) == "domain: is empty; name a domain"
    assert error.violations == (
        FieldViolation(field="domain", description="is empty; name a domain"),
    )
    assert error.reason == "EMPTY_DOMAIN"


@pytest.mark.parametrize(
    ("problem", "shown"),
    [
        (Problem(file="a.yaml", line=3, column=7, message="m"), "a.yaml:3:7: m"),
        (Problem(file="a.yaml", line=3, message="m"), "a.yaml:3: m"),
        (Problem(file="a.yaml", message="m"), "a.yaml: m"),
        (Problem(file="a.yaml", column=7, message="m"), "a.yaml: m"),
    ],
)
def test_a_problem_is_shown_as_far_as_its_place_is_known(problem: Problem, shown: str) -> None:
    assert str(problem) == shown


def test_a_config_error_shows_every_problem_on_a_line_of_its_own() -> None:
    error = ConfigError(
        [Problem(file="a", line=1, column=2, message="x"), Problem(file="b", message="y")]
    )
    assert str(error).splitlines() == ["a:1:2: x", "b: y"]
    assert isinstance(error, OperatorError)
    assert error.exit_code == 1
