"""The command line: the tree of commands and their options, and how they end. No work is done here.

Each command's work is in `sluice/commands/<name>.py`, imported only when the command runs, so that
`--help` answers at once.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from chassis.build import version
from sluice.mesh.ports import BLOCK_SIZE
from sluice.outcome import ExitCode, OperatorError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

# The ports of a mesh are consecutive: the last of the block may not be beyond 65,535.
_HIGHEST_FIRST_PORT: Final = 65536 - BLOCK_SIZE


# \b keeps click from joining the lines of a block.
_EXAMPLE: Final = """\b
Example:
  sluice up
"""

_UP_HELP: Final = """\b
Parts, their ports without --ports-from, and the variables that move them:
  redis      6380 SLUICE_REDIS_PORT
  ratelimit  8081 GRPC_PORT, 8083 RATELIMIT_ADMIN_PORT, 8080 PORT, 6070 DEBUG_PORT
  demo       8099 SLUICE_DEMO_PORT
  envoy      8000 SLUICE_ENVOY_PORT, 9901 SLUICE_ENVOY_ADMIN_PORT

\b
Examples:
  sluice up
  sluice up --only redis,ratelimit --ports-from 21000 --state ./data
  sluice up --redis redis://user:password@10.0.0.5:6379 --rules ./rules
"""


_CHECK_EXAMPLE: Final = """\b
Examples:
  sluice check rules/
  sluice check --json rules/shop.yaml rules/demo.yaml
  sluice check --env
  sluice check --env=ratelimit.env rules/
"""

_ASK_EXAMPLE: Final = """\b
Examples:
  sluice ask demo client_id=alice
  sluice ask shop client_id=alice,path=/pay --hits 0
"""

_EXPLAIN_EXAMPLE: Final = """\b
Examples:
  sluice explain demo client_id=alice
  sluice explain shop client_id=alice,path=/pay plan=free --hits 5 --json
"""

_TOP_EXAMPLE: Final = """\b
Examples:
  sluice top
  sluice top --once --json
  sluice top --ops 10.0.0.7:6070 --admin 10.0.0.7:8083
"""


class _Place(click.Path):
    """A path. An empty one (an unset variable of a script) is not the folder we are in."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """See click.ParamType."""
        if value == "":
            self.fail("it is empty; name a place, or leave it out", param, ctx)
        return super().convert(value, param, ctx)


def _show_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001  click calls it so
    if not wanted or context.resilient_parsing:
        return
    click.echo(f"sluice {version()}")
    context.exit()


@click.group(
    epilog=_EXAMPLE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Sluice: rate limiting behind Envoy on Redis, and the mesh around it.

    Exit codes: 0 ok, 1 found problems, 2 wrong usage, 3 cannot reach what is needed.
    """


@cli.command(epilog=_UP_HELP)
@click.option(
    "--only",
    metavar="PART,PART",
    help="Run these parts alone; the others are expected where this mesh would have put them.",
)
@click.option(
    "--ports-from",
    type=click.IntRange(1, _HIGHEST_FIRST_PORT),
    metavar="N",
    help=f"Use the {BLOCK_SIZE} ports from N on, "
    "each part at a place of its own that --only does not move.",
)
@click.option(
    "--state",
    type=_Place(),
    metavar="DIR",
    help="Keep all data and logs in DIR. Without it they go with the run.",
)
@click.option(
    "--redis",
    metavar="URL",
    envvar="REDIS_URL",
    show_envvar=True,
    help="Use your own Redis instead of the embedded one.",
)
@click.option(
    "--envoy",
    type=_Place(),
    metavar="PATH",
    help="Use your own Envoy instead of the embedded one.",
)
@click.option(
    "--rules",
    type=_Place(),
    metavar="DIR",
    help="Read the rate-limit rules from DIR instead of the demo's.",
)
def up(
    *,
    only: str | None,
    ports_from: int | None,
    state: Path | None,
    redis: str | None,
    envoy: Path | None,
    rules: Path | None,
) -> None:
    """Run the mesh in the foreground until Ctrl-C.

    Starts each part as a child process on 127.0.0.1, waits until it is healthy, restarts it when
    it dies or hangs. The last line on stdout is `ready` and a JSON object: part to address. Ctrl-C
    or SIGTERM stops everything within 15 seconds; a second Ctrl-C hurries.
    """
    from sluice.commands.up import Options, run  # noqa: PLC0415  --help needs none of it

    run(
        Options(
            only=only,
            ports_from=ports_from,
            state=state,
            redis=redis or None,
            envoy=envoy,
            rules=rules,
            environ=dict(os.environ),
        )
    )


@cli.command(epilog=_CHECK_EXAMPLE, short_help="Check rule files and environment variables.")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=_Place())
@click.option(
    "--env",
    is_flag=False,
    flag_value=Path(),
    default=None,
    type=click.Path(path_type=Path),
    metavar="[FILE]",
    help="Say what becomes of each variable of the environment, or of a file of KEY=VALUE lines.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON.")
def check(*, paths: tuple[Path, ...], env: Path | None, as_json: bool) -> int:
    """Check rate-limit rule files, or directories of them, and environment variables.

    Prints every problem at once, as file:line:column: what is wrong, and what to write instead.
    Exits 1 if there are any. What is not wrong but hardly meant is a warning, and exits 0: a rule
    that is never met, say. With --env it names each variable of Sluice or envoyproxy/ratelimit
    that is set: honoured, or what replaces it, or why it has no effect.
    """
    from sluice.commands.check import run  # noqa: PLC0415  --help needs none of it

    if not paths and env is None:
        raise click.UsageError("name rule files or folders, or say --env")
    return run(paths, env=env, environ=os.environ, as_json=as_json)


@cli.command(epilog=_ASK_EXAMPLE)
@click.argument("domain")
@click.argument("descriptors", metavar="KEY=VALUE[,KEY=VALUE]...", nargs=-1, required=True)
@click.option(
    "--hits",
    type=click.IntRange(0, 2**32 - 1),
    default=1,
    show_default=True,
    help="How many hits to charge; 0 only looks.",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="The rate limiter to ask.  [default: 127.0.0.1 and GRPC_PORT, or 8081]",
)
@click.option(
    "--admin",
    metavar="HOST:PORT",
    help="Its admin port, which knows the names of rules.  "
    "[default: 127.0.0.1 and RATELIMIT_ADMIN_PORT, or 8083, unless --address is given]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def ask(
    *,
    domain: str,
    descriptors: tuple[str, ...],
    hits: int,
    address: str | None,
    admin: str | None,
    as_json: bool,
) -> int:
    """Ask the rate limiter about one request, and charge it.

    Each KEY=VALUE[,KEY=VALUE]... is a descriptor. The request is charged as Envoy's would be,
    all descriptors or none.
    """
    from sluice.commands.ask import run  # noqa: PLC0415  --help needs none of it

    if not admin and not address:  # of another limiter this machine's admin port knows nothing
        admin = _here("RATELIMIT_ADMIN_PORT", 8083)
    target = address or _here("GRPC_PORT", 8081)
    return run(target, domain, descriptors, hits=hits, as_json=as_json, admin=admin)


@cli.command(epilog=_EXPLAIN_EXAMPLE, short_help="Say which rules limit a descriptor, and why.")
@click.argument("domain")
@click.argument("descriptors", metavar="KEY=VALUE[,KEY=VALUE]...", nargs=-1, required=True)
@click.option(
    "--hits",
    type=click.IntRange(0, 2**32 - 1),
    default=1,
    show_default=True,
    help="How many hits would be asked.",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="The admin port of the rate limiter.  "
    "[default: 127.0.0.1 and RATELIMIT_ADMIN_PORT, or 8083]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the explanation as JSON.")
def explain(
    *, domain: str, descriptors: tuple[str, ...], hits: int, address: str | None, as_json: bool
) -> int:
    """Say which rules limit a descriptor and why, what is left, and under which Redis key.

    Each KEY=VALUE[,KEY=VALUE]... is a descriptor, and is explained by itself. Nothing is charged.
    Exits 1 if one of them is not limited at all.
    """
    from sluice.commands.explain import run  # noqa: PLC0415  --help needs none of it

    target = address or _here("RATELIMIT_ADMIN_PORT", 8083)
    return run(target, domain, descriptors, hits=hits, as_json=as_json)


@cli.command(epilog=_TOP_EXAMPLE, short_help="Watch what the rate limiter does.")
@click.option("--once", is_flag=True, help="Show one second and exit.")
@click.option(
    "--ops",
    metavar="HOST:PORT",
    help="The ops port of the rate limiter.  [default: 127.0.0.1 and DEBUG_PORT, or 6070]",
)
@click.option(
    "--admin",
    metavar="HOST:PORT",
    help="Its admin port, for the hottest keys.  "
    "[default: 127.0.0.1 and RATELIMIT_ADMIN_PORT, or 8083]",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a second.")
def top(*, once: bool, ops: str | None, admin: str | None, as_json: bool) -> int:
    """Watch the rate limiter: requests, refusals, times, Redis, and who asks most.

    Shows what one process did in the last second, again each second, until q or Ctrl-C.
    """
    from sluice.commands.top import run  # noqa: PLC0415  --help needs none of it

    return run(
        ops or _here("DEBUG_PORT", 6070),
        admin or _here("RATELIMIT_ADMIN_PORT", 8083),
        once=once,
        as_json=as_json,
    )


def _here(variable: str, default: int) -> str:
    """Return the address of a port of this machine that a variable may have moved."""
    return f"127.0.0.1:{os.environ.get(variable) or default}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and answer the exit code. Users see sentences, never a traceback."""
    _open_standard_streams()
    sys.excepthook = _report_bug
    try:
        result = cli.main(arguments, prog_name="sluice", standalone_mode=False)
    except click.ClickException as wrong:
        wrong.show()
        return wrong.exit_code
    except click.Abort:
        return ExitCode.INTERRUPTED
    except OperatorError as ended:
        click.echo(f"sluice: {ended}", err=True)
        return ended.exit_code
    except (BrokenPipeError, SystemExit):
        # The reader of our output left (`sluice ... | head`), for which click exits, and for
        # nothing else. Python would complain once more when it flushes at exit; with stdout
        # pointing nowhere it has nothing to complain about.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except OSError as refused:
        # A full disk, no more processes: the machine's state, not a mistake in the program.
        what = f"{refused.filename}: " if refused.filename else ""
        click.echo(f"sluice: the system refused: {what}{refused.strerror or refused}", err=True)
        return ExitCode.PROBLEMS
    return result if isinstance(result, int) else ExitCode.OK


def _open_standard_streams() -> None:
    """Point closed standard streams at the null device.

    A program started with `>&-` has no descriptor 1; the next file it opens would become it, and
    what is printed for a person would land in that file.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _report_bug(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Say in a sentence that this is our mistake, and keep the traceback for a report."""
    if issubclass(kind, KeyboardInterrupt):
        return
    with tempfile.NamedTemporaryFile(
        "w", prefix="sluice-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.writelines(traceback.format_exception(kind, error, trace))
    said = str(error).partition("\n")[0]
    click.echo(
        f"sluice: a mistake of Sluice's own ({kind.__name__}: {said}); "
        f"please report it with the file {file.name}",
        err=True,
    )
