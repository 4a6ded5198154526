"""The suite against our service, as it ships and in the reference's mode, and against the reference.

The reference is run where RLS_REFERENCE names its program.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import redis

from tests.conformance.cases import ALL
from tests.conformance.run import Target, fault_of, run
from tests.conformance.servers import reference_binary, started_reference, started_sluice
from tests.conformance.table import Case, Profile
from tests.servers import Server, start_valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

# By chance a fixed window ends just when an exact server's limit would be whole again.
_MAY_BE_LUCKY = "timing"


def _of(*profiles: Profile) -> list[Case]:
    return [case for case in ALL if case.profile in profiles]


def _name(case: Case) -> str:
    return case.name


@pytest.fixture(scope="module")
def store() -> Iterator[Server]:
    with start_valkey() as server:
        yield server


@pytest.fixture(scope="module")
def sluice(store: Server) -> Iterator[Target]:
    with started_sluice(store) as target:
        yield _ready(target)
    with redis.Redis(port=store.port) as client:
        eternal = [key for key in client.scan_iter(count=1000) if client.ttl(key) == -1]
    assert not eternal, f"keys without a TTL were left behind: {eternal[:10]}"


@pytest.fixture(scope="module")
def sluice_as_reference() -> Iterator[Target]:
    # A store of its own: the same keys hold other things in the two modes.
    with start_valkey() as own, started_sluice(own, RATELIMIT_MODE="reference") as target:
        yield _ready(target)


@pytest.fixture(scope="module")
def reference_program() -> str:
    binary = reference_binary()
    if not binary:
        pytest.skip(
            "RLS_REFERENCE names no program; build envoyproxy/ratelimit "
            "(go build -o ratelimit ./src/service_cmd) and set it to the path"
        )
    return binary


@pytest.fixture(scope="module")
def reference(reference_program: str) -> Iterator[Target]:
    with start_valkey() as own, started_reference(reference_program, own) as target:
        yield _ready(target)


def _ready(target: Target) -> Target:
    fault = asyncio.run(fault_of(target))
    assert not fault, fault
    return target


@pytest.mark.parametrize("case", _of(Profile.CONTRACT, Profile.EXACT), ids=_name)
async def test_sluice_is_exact(case: Case, sluice: Target) -> None:
    assert not (await run(case, sluice)).faults


@pytest.mark.parametrize("case", _of(Profile.CONTRACT, Profile.REFERENCE), ids=_name)
async def test_sluice_answers_as_the_reference_when_told_to(
    case: Case, sluice_as_reference: Target
) -> None:
    assert not (await run(case, sluice_as_reference)).faults


@pytest.mark.parametrize("case", _of(Profile.CONTRACT, Profile.REFERENCE), ids=_name)
async def test_the_reference_answers_so(case: Case, reference: Target) -> None:
    assert not (await run(case, reference)).faults


async def test_the_reference_passes_no_case_that_asks_for_more(reference: Target) -> None:
    cases = [case for case in _of(Profile.EXACT) if not case.deadly]
    outcomes = [await run(case, reference) for case in cases]
    passed = [outcome.case for outcome in outcomes if not outcome.faults]
    assert [case.name for case in passed if case.group != _MAY_BE_LUCKY] == []
    assert len(passed) <= 1, "a case that the reference passes belongs to the contract"


@pytest.mark.parametrize("case", [case for case in ALL if case.deadly], ids=_name)
async def test_a_deadly_case_ends_the_reference(
    case: Case, reference_program: str, store: Server
) -> None:
    with started_reference(reference_program, store) as target:
        assert not await fault_of(target)
        assert (await run(case, target)).faults
        assert (await run(ALL[0], target)).faults, "it goes on"
