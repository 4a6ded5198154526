"""Requests remembered by their bytes."""

from __future__ import annotations

from ratelimit_service.core.plan import Plan
from ratelimit_service.core.rule import RuleSet
from ratelimit_service.service.asked import Asked, Edition
from ratelimit_service.transport.memo import Memo


class Maker:
    """Plans requests and counts them."""

    def __init__(self) -> None:
        self.made: list[bytes] = []

    def __call__(self, edition: Edition, request: bytes) -> Asked:
        self.made.append(request)
        return Asked("d", (), Plan((), (), refused=False), ())


def edition() -> Edition:
    return Edition(RuleSet(), 0.0, 1.0)


def test_a_known_request_is_not_parsed_again_until_the_edition_changes() -> None:
    make, present = Maker(), edition()
    memo = Memo(make)
    first = memo.asked(present, b"a")
    assert memo.asked(present, b"a") is first
    assert make.made == [b"a"]
    memo.asked(edition(), b"a")
    assert make.made == [b"a", b"a"]


def test_the_memo_is_bounded_and_keeps_what_is_used() -> None:
    make, present = Maker(), edition()
    memo = Memo(make)
    memo.MAX_KEPT = 10
    for number in range(1000):
        memo.asked(present, b"hot")
        memo.asked(present, b"%d" % number)
    assert make.made.count(b"hot") == 1
    assert len(memo._young) + len(memo._old) <= 2 * memo.MAX_KEPT


def test_a_huge_request_takes_no_room_in_the_memo() -> None:
    memo = Memo(Maker())
    memo.asked(edition(), b"x" * 5000)
    assert not memo._young
