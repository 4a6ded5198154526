"""Rules that the cycle collector does not walk, and that are freed all the same."""

from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING

from ratelimit_service.storage import rules_file
from ratelimit_service.storage.collector import branches_of, release, unwatched

if TYPE_CHECKING:
    from ratelimit_service.core.rule import RuleSet

TEXT = "domain: d\ndescriptors:\n" + "".join(
    f"  - key: k\n    value: v{n}*\n    rate_limit: {{unit: hour, requests_per_unit: {n}}}\n"
    f"    metadata: {{tier: [gold, {n}]}}\n    descriptors: [{{key: below}}]\n"
    for n in range(1, 1001)
)


def build() -> RuleSet:
    return rules_file.Sources(files=(("f.yaml", TEXT.encode()),), problems=()).build()


def test_what_is_made_unwatched_is_not_walked() -> None:
    try:
        with unwatched():
            assert not gc.isenabled()
            rules = build()
        assert gc.isenabled()
        young = {id(one) for one in gc.get_objects()}
        (root,) = rules.domains.values()
        assert not any(id(branch) in young for branch in root.below())
    finally:
        gc.unfreeze()


async def test_branches_come_above_first() -> None:
    rules = build()
    found = await branches_of(rules)
    assert len(found) == 2001
    assert found[0] is rules.domains["d"]
    place = {id(branch): number for number, branch in enumerate(found)}
    for branch in found:
        assert all(place[id(below)] > place[id(branch)] for below in branch.children.values())
    assert await branches_of(None) == []


async def test_rules_that_were_let_go_of_leave_no_memory_behind() -> None:
    build()  # what is made once, such as compiled patterns, is there already
    tracemalloc.start()
    try:
        rules: RuleSet | None = build()
        gc.collect()
        one_set = tracemalloc.get_traced_memory()[0]
        old = await branches_of(rules)
        rules = None
        await release(old)
        gc.collect()
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert one_set > 500_000
    assert left < one_set / 10
