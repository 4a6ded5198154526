"""python -m tests.conformance: the suite against the server you name."""

from __future__ import annotations

import asyncio
import sys
from difflib import get_close_matches

import click

from tests.conformance.cases import ALL
from tests.conformance.report import describe, lines, summary
from tests.conformance.run import Outcome, Target, fault_of, run
from tests.conformance.table import Case, Need, Profile

_FOUND_FAILURES, _CANNOT_REACH = 1, 3


@click.command()
@click.option("--target", metavar="HOST:PORT", help="the server's gRPC port (plain text).")
@click.option(
    "--reference-semantics",
    is_flag=True,
    help="Expect fixed windows and refused hits that count, as envoyproxy/ratelimit does.",
)
@click.option("--only", "names", multiple=True, metavar="NAME",
              help="A case or a group; may be given again.")  # fmt: skip
@click.option("--with", "extras", multiple=True, type=click.Choice(["headers", "metadata"]),
              help="What the server was told to answer; may be given again.")  # fmt: skip
@click.option("--store", metavar="URL", default="",
              help="The server's own Redis, for cases that count its keys.")  # fmt: skip
@click.option("--list", "listing", is_flag=True, help="Print the cases and end.")
def main(
    *, target: str | None, reference_semantics: bool, names: tuple[str, ...],
    extras: tuple[str, ...], store: str, listing: bool,
) -> None:  # fmt: skip
    """Run the conformance suite against a rate-limit server (RLS v3).

    The server must have been started with the rule files of tests/conformance/rules.

    \b
    Example:
      python -m tests.conformance --target 127.0.0.1:8081 --only quota_mode

    Ends with 0 when every case passed, 1 when one failed, 2 on wrong usage, 3 when the server
    cannot be reached or has other rules.
    """  # noqa: D301  \b is click's mark, not an escape
    chosen = _chosen(reference_semantics, names)
    if listing:
        for case in chosen:
            click.echo(describe(case))
        click.echo(f"{len(chosen)} cases")
        return
    if target is None:
        raise click.UsageError("name the server: --target HOST:PORT (or --list the cases)")
    has = {Need(extra) for extra in extras} | ({Need.STORE} if store else set())
    server = Target(address=target, has=frozenset(has), store_url=store)
    outcomes = asyncio.run(_all(chosen, server))
    click.echo("")
    for line in summary(outcomes):
        click.echo(line)
    if any(outcome.faults for outcome in outcomes):
        sys.exit(_FOUND_FAILURES)


def _chosen(reference_semantics: bool, names: tuple[str, ...]) -> list[Case]:
    """Return the cases to run; those that expect the other way of counting are left out."""
    other = Profile.EXACT if reference_semantics else Profile.REFERENCE
    known = {name for case in ALL for name in (case.name, case.group)}
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else "; --list shows them"
            raise click.UsageError(f"there is no case or group {name!r}{hint}")
    return [
        case
        for case in ALL
        # Who names a case wants that one, whichever way it counts.
        if case.name in names or (case.profile is not other and (not names or case.group in names))
    ]


async def _all(chosen: list[Case], target: Target) -> list[Outcome]:
    fault = await fault_of(target)
    if fault:
        click.echo(fault, err=True)
        sys.exit(_CANNOT_REACH)
    outcomes = []
    for case in chosen:
        outcome = await run(case, target)
        for line in lines(outcome):
            click.echo(line)
        outcomes.append(outcome)
    return outcomes


if __name__ == "__main__":
    main()
