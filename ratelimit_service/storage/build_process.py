"""Rules built in a process of their own, so that calls go on meanwhile.

Ten thousand rules take two seconds to build. In a thread of the process that serves, each second
turn of its event loop would wait for the interpreter's lock, and the collector would walk what the
YAML parser leaves. What comes back is put together in steps of a few milliseconds.

    python -m ratelimit_service.storage.build_process   < pickled RuleSources   > pickled Built
"""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import resource
import subprocess
import sys
from typing import TYPE_CHECKING, BinaryIO, Final

from chassis.errors import Problem
from ratelimit_service.core.wildcard import Wildcards
from ratelimit_service.storage.collector import unwatched
from ratelimit_service.storage.rule_sources import Built

if TYPE_CHECKING:
    from ratelimit_service.core.rule import Branch, RuleSet
    from ratelimit_service.storage.rule_sources import RuleSources

# Fifty thousand rules, the most a rule file can hold, take some 15 s; a busy machine takes longer.
_BUILD_SECONDS: Final = 120
# Fifty thousand rules take 600 MiB. More is a file made to hurt, and is not to hurt the host.
_MEMORY_BYTES: Final = 2 * 1024**3
_NICENESS: Final = 10  # calls first
# Branches put together at a time: some 0.7 ms.
_BATCH: Final = 50
_MAX_WORDS: Final = 2000  # of what a process that died has said


async def build_apart(sources: RuleSources) -> Built:
    """Return what `sources` makes; never longer than 20 ms in this process at a time."""
    # Not by the event loop's own means: uvloop forks, and gRPC's threads do not survive a fork.
    # This is a vfork, which no library notices, and takes 3 ms.
    process = subprocess.Popen(  # noqa: ASYNC220, S603  see above; our own interpreter and module
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Our packages are found where they were found for this process, and nowhere else.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        start_new_session=True,  # a Ctrl-C is for the service, which then ends this
    )
    try:
        out, words = await asyncio.to_thread(
            process.communicate, pickle.dumps(sources), timeout=_BUILD_SECONDS
        )
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.communicate)
        return _failed(f"took longer than {_BUILD_SECONDS} s; make them fewer")
    finally:
        process.kill()  # so that the thread ends too, and reaps it
    if process.returncode != 0:
        said = words.decode(errors="replace").strip()[-_MAX_WORDS:]
        return _failed(f"ended their builder with code {process.returncode}: {said}")
    return await _received(out)


def _failed(why: str) -> Built:
    return Built(rules=None, files=(), problems=(Problem(file="the rules", message=why),))


async def _received(out: bytes) -> Built:
    """Unpickle what `_send` has written, in steps."""
    # Its memo lasts from one load to the next, so that a branch finds those below it.
    reader = pickle.Unpickler(io.BytesIO(out))  # noqa: S301  from our own process
    with unwatched():
        built: Built = reader.load()
        batches: int = reader.load()
        for _ in range(batches):
            reader.load()
            await asyncio.sleep(0)
        rules: RuleSet | None = reader.load()
    return Built(rules=rules, files=built.files, problems=built.problems)


def _send(built: Built, out: BinaryIO) -> None:
    """Write what was found, then the parts of the rules, then the whole of them."""
    writer = pickle.Pickler(out, protocol=pickle.HIGHEST_PROTOCOL)
    writer.dump(Built(rules=None, files=built.files, problems=built.problems))
    parts = _parts(built.rules) if built.rules else []
    batches = [parts[start : start + _BATCH] for start in range(0, len(parts), _BATCH)]
    writer.dump(len(batches))
    for batch in batches:
        writer.dump(batch)
    writer.dump(built.rules)


def _parts(rules: RuleSet) -> list[Branch | Problem]:
    """Return all there is in `rules`, each branch after those below it."""
    branches = [branch for root in rules.domains.values() for branch in (root, *root.below())]
    _share(branches)
    return [*rules.warnings, *reversed(branches)]


def _share(branches: list[Branch]) -> None:
    """Make one object of what is equal, which saves a third of the memory and of the time."""
    one: dict[object, object] = {}
    no_wildcards = Wildcards()
    for branch in branches:
        if not branch.wildcards.size:
            object.__setattr__(branch, "wildcards", no_wildcards)
        if branch.rule is not None:
            same = one.setdefault(branch.rule.allowances, branch.rule.allowances)
            object.__setattr__(branch.rule, "allowances", same)


def _main() -> None:
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_BUILD_SECONDS, _BUILD_SECONDS))
    sources: RuleSources = pickle.load(sys.stdin.buffer)  # noqa: S301  from our own process
    try:
        built = sources.built()
    except MemoryError:
        built = _failed(f"need more than {_MEMORY_BYTES >> 20} MiB of memory; make them fewer")
    _send(built, sys.stdout.buffer)


if __name__ == "__main__":
    _main()
