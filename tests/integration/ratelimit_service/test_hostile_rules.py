"""Rule files that are edited, swapped, torn away and booby-trapped beneath a running service.

Whatever happens to the files, calls go on by whole rules: the old ones or the new ones.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from tests.integration.ratelimit_service.limiter import Limiter, running
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.servers import Server


def rules(limit: int, domain: str = "shop") -> str:
    return (
        f"domain: {domain}\ndescriptors:\n"
        f"  - key: client\n    rate_limit: {{unit: hour, requests_per_unit: {limit}}}\n"
    )


@pytest.fixture
async def limiter(tmp_path: Path, valkey: Server) -> AsyncIterator[Limiter]:
    with running(tmp_path, valkey.url, rules(1)) as started:
        await started.ready()
        yield started
        await started.channel.close()


async def limit_of(limiter: Limiter, domain: str = "shop") -> int:
    answer = await limiter.ask({"client": "a"}, domain=domain)
    return answer.statuses[0].current_limit.requests_per_unit


async def becomes(limiter: Limiter, limit: int, domain: str = "shop") -> None:
    async def is_so() -> bool:
        return await limit_of(limiter, domain) == limit

    await wait_until(is_so, timeout=15, description=f"the limit of {domain} is {limit}")


def swap(limiter: Limiter, edition: int, text: str) -> None:
    """Do as Kubernetes does when a ConfigMap changes: one rename makes all new."""
    folder = limiter.rules / f"..edition{edition}"
    folder.mkdir()
    (folder / "shop.yaml").write_text(text)
    (limiter.rules / "..data_tmp").symlink_to(folder.name)
    (limiter.rules / "..data_tmp").rename(limiter.rules / "..data")


async def test_every_swap_of_a_config_map_is_noticed(limiter: Limiter) -> None:
    swap(limiter, 1, rules(2))
    (limiter.rules / "shop.yaml").unlink()
    (limiter.rules / "shop.yaml").symlink_to("..data/shop.yaml")
    await becomes(limiter, 2)
    for edition in range(2, 5):
        swap(limiter, edition, rules(edition + 1))
        shutil.rmtree(limiter.rules / f"..edition{edition - 1}")
        await becomes(limiter, edition + 1)
    for edition in range(5, 45):  # faster than anybody reads
        swap(limiter, edition, rules(edition + 1))
    await becomes(limiter, 45)
    swap(limiter, 45, "domain: shop\ndescriptors:\n  - kee: client\n")
    await wait_until(lambda: "did you mean 'key'" in limiter.said(), description="it is told")
    assert await limit_of(limiter) == 45
    swap(limiter, 46, rules(7))
    await becomes(limiter, 7)


async def test_every_edit_is_noticed(limiter: Limiter) -> None:
    path = limiter.rules / "shop.yaml"
    for limit in range(50, 70):
        limiter.write(rules(limit))
    await becomes(limiter, 69)
    before = path.stat()
    limiter.write(rules(70))  # as long as before, and with the time of before
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    await becomes(limiter, 70)
    other = limiter.rules.parent / "made elsewhere"
    other.write_text(rules(71))
    other.rename(path)
    await becomes(limiter, 71)
    (limiter.rules / "below").mkdir()
    (limiter.rules / "below" / "more").write_text(rules(5, "more"))
    await becomes(limiter, 5, "more")
    shutil.rmtree(limiter.rules / "below")
    await becomes(limiter, 0, "more")


async def test_a_directory_that_goes_away_leaves_its_rules(limiter: Limiter) -> None:
    shutil.rmtree(limiter.rules)
    await wait_until(lambda: "cannot be read" in limiter.said(), description="it is told")
    assert await limit_of(limiter) == 1
    limiter.rules.mkdir()
    limiter.write(rules(11))
    await becomes(limiter, 11)


async def test_files_that_come_and_go_never_take_other_rules_along(limiter: Limiter) -> None:
    draw = random.Random(3)  # noqa: S311  which file, not a secret

    for turn in range(300):
        path = limiter.rules / f"{draw.randrange(7)}.yaml"
        path.unlink(missing_ok=True)
        if turn % 3:
            path.write_text(rules(turn + 1, f"domain {path.name}"))
        assert await limit_of(limiter) == 1
    for path in limiter.rules.glob("[0-9].yaml"):
        path.unlink()
    limiter.write(rules(12))
    await becomes(limiter, 12)


LAUGHS = "".join(
    f"{name}: &{name} [{', '.join([f'*{before}' if before else 'x'] * 9)}]\n"
    for name, before in zip("abcdefg", ("", *"abcdef"), strict=True)
)
TRAPS: dict[str, tuple[bytes, str]] = {
    "a billion laughs": (f"{LAUGHS}domain: trap\ndescriptors: *g\n".encode(), "has more than"),
    "a cycle": (b"domain: trap\ndescriptors: &x\n  - {key: a, descriptors: *x}\n", "nests deeper"),
    "deep lists": (b"domain: trap\ndescriptors: " + b"[" * 100_000, "maximum nesting depth"),
    "deep descriptors": (
        b"domain: trap\n"
        + b"".join(b"  " * n + b"descriptors:\n" + b"  " * n + b"- key: a\n" for n in range(40)),
        "nest deeper than 32 levels",
    ),
    "NUL": (b"domain: trap\ndescriptors:\n  - key: a\0b\n", "control characters"),
    "an escaped control character": (b'domain: "tr\\x1bap"\n', "holds a control character"),
    "a Python object": (b"domain: !!python/object/apply:os.getcwd []\n", "must be text"),
    "no text": (b"domain: \xff\xfe\n", "invalid leading UTF-8 octet"),
    "100 MB": (b"domain: trap\n", "is larger than"),
    "an unknown unit": (
        b"domain: trap\ndescriptors:\n  - {key: a, rate_limit: {unit: fortnight}}\n",
        "invalid rate limit unit 'fortnight'",
    ),
    "negative requests": (
        b"domain: trap\ndescriptors:\n  - {key: a, rate_limit: {unit: day, requests_per_unit: -1}}",
        "write a whole number from 0 to 4294967295",
    ),
    "the same domain": (rules(99).encode(), "duplicate domain"),
}


@pytest.mark.parametrize("trap", TRAPS)
async def test_a_trap_is_told_and_the_old_rules_stay_whole(limiter: Limiter, trap: str) -> None:
    content, words = TRAPS[trap]
    path = limiter.rules / "trap.yaml"
    path.write_bytes(content)
    if trap == "100 MB":
        os.truncate(path, 100 * 2**20)
    asked = []

    async def told() -> bool:
        since = asyncio.get_running_loop().time()
        assert await limit_of(limiter) == 1
        asked.append(asyncio.get_running_loop().time() - since)
        return words in limiter.said()

    await wait_until(told, timeout=40, description="it is told what is wrong")
    assert "trap.yaml" in limiter.said()
    assert "Traceback" not in limiter.said()
    assert max(asked) < 1, "calls waited for the file"
    assert await limit_of(limiter, "trap") == 0
    path.unlink()
    limiter.write(rules(3))
    await becomes(limiter, 3)


@pytest.mark.parametrize("kind", ["fifo", "zeros", "a folder in itself"])
async def test_what_is_no_file_holds_nothing_up(limiter: Limiter, kind: str) -> None:
    path = limiter.rules / "odd.yaml"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "zeros" else ".")
    limiter.write(rules(8))
    await becomes(limiter, 8)


async def test_sighup_reads_the_rules_and_ends_nothing(limiter: Limiter) -> None:
    loads = limiter.said().count("rules reloaded")
    limiter.stop(signal.SIGHUP)
    await wait_until(
        lambda: limiter.said().count("rules reloaded") > loads, description="they are read again"
    )
    assert await limit_of(limiter) == 1


async def test_a_link_to_nowhere_is_told_and_keeps_the_rules(
    tmp_path: Path, valkey: Server
) -> None:
    with running(tmp_path, valkey.url) as limiter:
        await limiter.ready()
        path = limiter.rules / "shop.yaml"
        (limiter.rules / "..gone").symlink_to("..not there")
        (limiter.rules / "..gone").rename(path)
        await wait_until(
            lambda: "reloaded" in limiter.said(), timeout=10, description="the change is noticed"
        )
        answer = await limiter.ask({"hourly": "x"})
        await limiter.channel.close()
        assert answer.statuses[0].current_limit.requests_per_unit == 3
