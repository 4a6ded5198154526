"""Rule files that we and the real envoyproxy/ratelimit take or refuse, and the few where we differ.

Runs where RLS_REFERENCE names its program; RLS_CONFIGS names a directory of rule files that both
are to answer by alike, or refuse alike.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import yaml

from chassis.errors import ConfigError
from ratelimit_service.storage import rules_file
from tests.integration.ratelimit_service.test_reference import (
    REFERENCE,
    SEED,
    Draw,
    answer,
    both,
    compare,
    reference,
)
from wire.envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest
from wire.envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceStub

if TYPE_CHECKING:
    from tests.servers import Server

pytestmark = pytest.mark.skipif(
    not REFERENCE, reason="RLS_REFERENCE names no built envoyproxy/ratelimit"
)
HEAD = "domain: d\ndescriptors:\n"
SECOND = "unit: second, requests_per_unit: 1"


def limit(inside: str) -> str:
    return f"{HEAD}  - {{key: a, rate_limit: {{{inside}}}}}\n"


def counted(number: str) -> str:
    return limit(f"unit: second, requests_per_unit: {number}")


def descriptor(inside: str) -> str:
    return f"{HEAD}  - {{{inside}}}\n"


ALIKE = {
    "empty": "",
    "null": "null\n",
    "a list": "- a\n",
    "a word": "hello\n",
    "no domain": "descriptors: []\n",
    "a domain of nothing": "domain: ~\n",
    "a domain that looks like a number": "domain: 5\n",
    "nothing below": HEAD,
    "a map for the list": "domain: d\ndescriptors: {key: a}\n",
    "a word in the list": f"{HEAD}  - a\n",
    "unknown at the top": "domain: d\nx: 1\n",
    "a tab": "domain: d\n\tx: 1\n",
    "anchors": f"{HEAD}  - {{key: a, rate_limit: &r {{{SECOND}}}}}\n  - {{key: b, rate_limit: *r}}\n",
    "a cycle": f"{HEAD}  - &x\n    key: a\n    descriptors: [*x]\n",
    "a unit of any case": limit("unit: SeCoNd, requests_per_unit: 1"),
    "the unit that is none": limit("unit: unknown, requests_per_unit: 1"),
    "no unit": limit("requests_per_unit: 1"),
    "no number": limit("unit: second"),
    "an empty limit": limit(""),
    "a limit that is a word": descriptor("key: a, rate_limit: x"),
    "a negative number": counted("-1"),
    "2^32": counted("4294967296"),
    "2^32 - 1": counted("4294967295"),
    "a fraction": counted("1.5"),
    "an exponent": counted("1e3"),
    "octal": counted("010"),
    "hexadecimal": counted("0x10"),
    "underscores": counted("1_000"),
    "unlimited with a unit": limit("unlimited: true, unit: second"),
    "unlimited with a wrong unit": limit("unlimited: true, unit: x"),
    "replaces without a name": limit(f"{SECOND}, replaces: [{{name: ''}}]"),
    "replaces itself": limit(f"{SECOND}, name: x, replaces: [{{name: x}}]"),
    "replaces a word": limit(f"{SECOND}, replaces: [x]"),
    "replaces and more": limit(f"{SECOND}, replaces: [{{name: x, y: z}}]"),
    "an empty key": descriptor("key: ''"),
    "no key": descriptor("value: a"),
    "a key that is a list": descriptor("key: [a]"),
    "a misspelt key": descriptor("kee: a"),
    "a value that is a list": descriptor("key: a, value: [b]"),
    "a value that looks octal": descriptor("key: a, value: 0123"),
    "a flag of YAML 1.1": descriptor("key: a, shadow_mode: yes"),
    "a flag that is a word": descriptor(f"key: a, shadow_mode: maybe, rate_limit: {{{SECOND}}}"),
    "shared without a wildcard": descriptor("key: a, value: b, share_threshold: true"),
    "shared by a wildcard in the key": descriptor("key: 'a*', share_threshold: true"),
    "the same twice": f"{HEAD}  - {{key: a, value: b}}\n  - {{key: a, value: b}}\n",
    "the same wildcard twice": f"{HEAD}  - {{key: a, value: 'b*'}}\n  - {{key: a, value: 'b*'}}\n",
    "metadata": descriptor(f"key: a, metadata: {{x: {{key: 1}}}}, rate_limit: {{{SECOND}}}"),
    "metadata that is a list": descriptor(f"key: a, metadata: [1], rate_limit: {{{SECOND}}}"),
    "a limit outside": descriptor(f"key: a, {SECOND}"),
}
# Text is read as it stands, whatever kind of number YAML would make of it.
LENIENT = {
    "a key that looks like a fraction": descriptor("key: 5.5"),
    "a value that looks like a fraction": descriptor("key: a, value: 1.0"),
    "a number in quotes": counted("'5'"),
    "a flag in quotes": descriptor("key: a, shadow_mode: 'true'"),
    "two whose joined text is one": f"{HEAD}  - {{key: a_b}}\n  - {{key: a, value: b}}\n",
}
STRICT = {
    "two documents": f"{HEAD}  - {{key: a}}\n---\ndomain: e\n",
    "a key twice": "domain: d\ndomain: e\n",
    "a control character": descriptor('key: "a\\0"'),
    "a name of two lines": limit(f'{SECOND}, name: "a\\nb"'),
}


@pytest.mark.parametrize("case", ALIKE)
async def test_the_same_rules_are_refused(tmp_path: Path, valkey: Server, case: str) -> None:
    mine = mistakes(tmp_path / "mine", ALIKE[case])
    theirs = await refusal(tmp_path / "theirs", valkey, ALIKE[case])
    assert bool(mine) == bool(theirs), f"we: {mine or 'fine'}; the reference: {theirs or 'fine'}"


@pytest.mark.parametrize("case", LENIENT)
async def test_what_only_the_reference_refuses(tmp_path: Path, valkey: Server, case: str) -> None:
    assert not mistakes(tmp_path / "mine", LENIENT[case])
    assert await refusal(tmp_path / "theirs", valkey, LENIENT[case])


@pytest.mark.parametrize("case", STRICT)
async def test_what_only_we_refuse(tmp_path: Path, valkey: Server, case: str) -> None:
    assert mistakes(tmp_path / "mine", STRICT[case])
    assert not await refusal(tmp_path / "theirs", valkey, STRICT[case])


def given() -> dict[str, str]:
    """Return the rule files below RLS_CONFIGS by name."""
    folder = os.environ.get("RLS_CONFIGS", "")
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file()) if folder else []
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


@pytest.mark.skipif(not given(), reason="RLS_CONFIGS names no directory of rule files")
@pytest.mark.parametrize("name", given())
async def test_a_file_that_was_given(tmp_path: Path, valkey: Server, name: str) -> None:
    text = given()[name]
    mine = mistakes(tmp_path / "read", text)
    theirs = await refusal(tmp_path / "theirs", valkey, text)
    assert bool(mine) == bool(theirs), f"we: {mine or 'fine'}; the reference: {theirs or 'fine'}"
    if not mine:
        draw = DrawOf(SEED, text)
        async with both(tmp_path / "both", {"one.yaml": text}) as asked:
            requests = [draw.request(draw.domain) for _ in range(40)]
            await compare(asked, requests, f"{name}, RLS_SEED={SEED}")


class DrawOf(Draw):
    """Random requests about which one rule file has something to say."""

    def __init__(self, seed: int, text: str) -> None:
        super().__init__(seed)
        node = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  text, lists and maps only
        self.domain = str(node["domain"])
        self._paths = [[("unknown", "x")]]
        self._add(node, [])

    def _add(self, node: dict[str, Any], above: list[tuple[str, str]]) -> None:
        for below in node.get("descriptors") or ():
            value = str(below.get("value", "")).replace("*", self.random.choice(("", "x", "/a")))
            path = [*above, (str(below["key"]), value)]
            self._paths.append(path)
            self._add(below, path)

    def request(self, domain: str) -> RateLimitRequest:
        request = RateLimitRequest(domain=domain)
        for _ in range(self.random.choice((1, 1, 2, 3))):
            descriptor = request.descriptors.add()
            for key, value in self.random.choice(self._paths):
                some = value or self.random.choice(("", "x", "y"))
                descriptor.entries.add(key=key, value=some)
            if self.chance(0.2):
                descriptor.hits_addend.value = self.random.choice((0, 2, 50))
        return request


def mistakes(folder: Path, text: str) -> str:
    """Return what we find wrong with a rule file, "" if nothing."""
    folder.mkdir(parents=True)
    (folder / "one.yaml").write_text(text)
    try:
        rules_file.read([folder]).build()
    except ConfigError as error:
        return "; ".join(str(problem) for problem in error.problems)
    return ""


async def refusal(folder: Path, store: Server, text: str) -> str:
    """Return what the reference says that was given a rule file, "" if it takes it."""
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "one.yaml").write_text(text)
    with reference(folder, store.url) as port:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            request = RateLimitRequest(domain="nobody")
            request.descriptors.add()
            said = await answer(RateLimitServiceStub(channel), request)
    return str(said.get("error", ""))
