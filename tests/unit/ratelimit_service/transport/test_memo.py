"""Requests remembered by their bytes."""

from __future__ import annotations

from ratelimit_service.core.plan import Plan, Policy
from ratelimit_service.core.planner import Planner
from ratelimit_service.core.rule import RuleSet
from ratelimit_service.service.asked import Asked, Edition
from ratelimit_service.transport.memo import Memo


class Maker:
    """Plans requests and counts them."""

    def __init__(self) -> None:
        self.made: list[bytes] = []

    def __call__(self, edition: Edition, request: bytes) -> Asked:
        self.made.append(request)
        return Asked.of("d", (), Plan((), (), refused=False), ())


def edition() -> Edition:
    rules = RuleSet()
    return Edition(rules, Planner(rules, Policy(), 0.0), 0.0, 1.0)


def test_a_request_that_came_twice_is_not_parsed_again_until_the_edition_changes() -> None:
    make, present = Maker(), edition()
    memo = Memo(make)
    memo.asked(present, b"a")
    second = memo.asked(present, b"a")
    assert memo.asked(present, b"a") is second
    assert make.made == [b"a"] * 2
    memo.asked(edition(), b"a")
    assert make.made == [b"a"] * 3


def test_clients_that_come_once_push_nobody_out() -> None:
    make, present = Maker(), edition()
    memo = Memo(make)
    memo.MAX_KEPT = 10
    for _ in range(2):
        memo.asked(present, b"regular")
    for number in range(1000):
        memo.asked(present, b"%d" % number)
    memo.asked(present, b"regular")
    assert make.made.count(b"regular") == 2


async def test_the_memo_is_bounded_and_keeps_what_is_used() -> None:
    make, present = Maker(), edition()
    memo = Memo(make)
    memo.MAX_KEPT = 10
    for number in range(1000):
        memo.asked(present, b"hot")
        for _ in range(2):
            memo.asked(present, b"%d" % number)
    assert make.made.count(b"hot") == 2
    assert len(memo._young) + len(memo._old) <= 2 * memo.MAX_KEPT


def test_a_huge_request_takes_no_room_in_the_memo() -> None:
    memo = Memo(Maker())
    for _ in range(3):
        memo.asked(edition(), b"x" * 5000)
    assert not memo._young


async def test_the_memo_is_bounded_by_what_it_holds_as_well() -> None:
    memo, present = Memo(Maker()), edition()
    memo.MAX_KEPT_BYTES = 100_000
    for number in range(1000):
        for _ in range(2):
            memo.asked(present, b"%04d" % number + b"x" * 996)
    assert len(memo._young) + len(memo._old) <= 2 * 101


def test_what_is_kept_is_known_to_serve_more_calls() -> None:
    memo, present = Memo(Maker()), edition()
    assert not memo.asked(present, b"a").kept
    assert memo.asked(present, b"a").kept
