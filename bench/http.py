"""The HTTP bench: fastlane, aiohttp and a bare loop side by side, driven by wrk and h2load.

`python -m bench.http [--seconds S]`. CPU is the server's own, user and system, from the kernel; the
client's is not counted. The bare loop answers a constant to whatever it reads: what the kernel and
the event loop cost, below which no server in Python comes. Interleaved rounds, best of each: other
programs on the machine can only make a round slower.

`python -m bench.http --serve fastlane|aiohttp|bare` is one of the servers.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop
from aiohttp import web

from bench.servers import Announced
from fastlane.http import Prepared, Request, Response, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_ROUNDS: Final = 3
_HEADERS: Final = tuple(
    (f"x-header-{number:02}".encode(), b"some value of a usual length") for number in range(12)
)
_READY: Final = Prepared(_HEADERS[1:])
_AGE: Final = ((b"age", b"3"),)
_TEXT: Final = ((b"content-type", b"text/plain"),)
_SMALL: Final = b"hello\n"
_KIB: Final = bytes(1_024)
_PIECE: Final = bytes(65_536)
_PIECES: Final = 160  # 10 MiB
_FRESH: Final = """
local number = 0
request = function()
  number = number + 1
  return wrk.format("GET", "/small?" .. number, {
    ["user-agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    ["accept"] = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    ["accept-encoding"] = "gzip, deflate, br",
    ["x-request-id"] = "85a1c4de-1111-4c5e-" .. number,
  })
end
"""
_PIPELINE: Final = """
init = function()
  local one = wrk.format("GET", "/small")
  batch = string.rep(one, 16)
end
request = function() return batch end
"""


# -- the servers ---------------------------------------------------------------------------------


async def _answer(request: Request) -> Response:
    path = request.path
    if path.startswith(b"/small"):
        return Response(200, _TEXT, _SMALL)
    if path == b"/kib":
        return Response(200, _HEADERS, _KIB)
    if path == b"/ready":
        return Response(200, _AGE, _KIB, prepared=_READY)
    if path == b"/echo":
        return Response(200, _TEXT, await request.read())
    return Response(200, _TEXT, _pieces(), length=len(_PIECE) * _PIECES)


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(_PIECES):
        yield _PIECE


async def _aio_small(_request: web.Request) -> web.Response:
    return web.Response(body=_SMALL, headers={"content-type": "text/plain"})


async def _aio_kib(_request: web.Request) -> web.Response:
    headers = {name.decode(): value.decode() for name, value in _HEADERS}
    return web.Response(body=_KIB, headers=headers)


async def _aio_echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def _aio_stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-length": str(len(_PIECE) * _PIECES)})
    await response.prepare(request)
    async for piece in _pieces():
        await response.write(piece)
    return response


class _Bare(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello\n"
        self.transport.write(answer * data.count(b"\r\n\r\n"))  # type: ignore[attr-defined]


async def _serve(kind: str) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    if kind == "fastlane":
        server = Server(_answer)
        port = server.add("127.0.0.1:0")
        await server.start()
    elif kind == "aiohttp":
        app = web.Application()
        app.router.add_get("/small", _aio_small)
        app.router.add_get("/kib", _aio_kib)
        app.router.add_post("/echo", _aio_echo)
        app.router.add_get("/stream", _aio_stream)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
    else:
        bare = await loop.create_server(_Bare, "127.0.0.1", 0)
        port = bare.sockets[0].getsockname()[1]
    print(port, flush=True)
    await stopped.wait()


# -- the measuring -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """A program and its arguments; `{seconds}` and `{port}` are filled in."""

    name: str
    command: str
    kinds: tuple[str, ...] = ("fastlane", "aiohttp")
    script: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """What came of it."""

    requests_a_second: float
    cpu_us: float
    """The server's CPU microseconds a request."""


def _wrk(path: str, connections: int = 64, *, scripted: bool = False) -> str:
    script = "-s {script} " if scripted else ""
    return f"wrk -t1 -c{connections} -d{{seconds}}s {script}http://127.0.0.1:{{port}}{path}"


LOADS: Final = (
    Load(name="small", command=_wrk("/small"), kinds=("fastlane", "aiohttp", "bare")),
    Load(name="small, each head new", command=_wrk("/small", scripted=True), script=_FRESH),
    Load(name="1 KiB, 12 fields", command=_wrk("/kib")),
    Load(name="1 KiB, 12 fields, prepared", command=_wrk("/ready"), kinds=("fastlane",)),
    Load(
        name="small, 16 pipelined",
        command=_wrk("/small", scripted=True),
        script=_PIPELINE,
    ),
    Load(name="small, one in flight", command=_wrk("/small", 1)),
    Load(
        name="echo 1 KiB",
        command="h2load --h1 -c64 -D{seconds} -d {body} http://127.0.0.1:{port}/echo",
    ),
    Load(name="stream 10 MiB", command=_wrk("/stream", 4)),
    Load(
        name="HTTP/2 small, 4x64",
        command="h2load -c4 -m64 -D{seconds} http://127.0.0.1:{port}/small",
        kinds=("fastlane",),
    ),
    Load(
        name="HTTP/2 1 KiB, 12 fields, 4x64",
        command="h2load -c4 -m64 -D{seconds} http://127.0.0.1:{port}/kib",
        kinds=("fastlane",),
    ),
)


def measure(server: Announced, load: Load, seconds: int) -> Figure:
    """Run the client once."""
    with tempfile.TemporaryDirectory() as folder:
        script, body = Path(folder, "load.lua"), Path(folder, "body")
        script.write_text(load.script)
        body.write_bytes(_KIB)
        command = load.command.format(
            seconds=seconds, port=server.port, script=script, body=body
        ).split()
        before = server.cpu_seconds
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        cpu = server.cpu_seconds - before
    if command[0] == "wrk":
        found = re.search(r"(\d+) requests in ([0-9.]+)(ms|s)", done.stdout)
        bad = "Non-2xx" in done.stdout
    else:
        found = re.search(r"(\d+) succeeded", done.stdout)
        bad = ", 0 failed" not in done.stdout
    if found is None or bad or not int(found[1]):
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}")
    count = int(found[1])
    return Figure(requests_a_second=count / seconds, cpu_us=cpu / count * 1e6)


def run(seconds: int) -> dict[tuple[str, str], Figure]:
    """Measure every load on every server of its kinds."""
    servers = {
        kind: Announced("bench.http", "--serve", kind) for kind in ("fastlane", "aiohttp", "bare")
    }
    best: dict[tuple[str, str], Figure] = {}
    try:
        for _ in range(_ROUNDS):
            for load in LOADS:
                for kind in load.kinds:
                    figure = measure(servers[kind], load, seconds)
                    known = best.get((load.name, kind))
                    if known is None or figure.cpu_us < known.cpu_us:
                        best[load.name, kind] = figure
    finally:
        for server in servers.values():
            server.stop()
    return best


def report(best: dict[tuple[str, str], Figure]) -> bool:
    """Print the table and the promises; returns whether they are kept."""
    print(f"{'':32}{'server':>10}{'a second':>12}{'CPU us':>10}{'x fastlane':>12}")
    for (name, kind), figure in best.items():
        ratio = figure.cpu_us / best[name, "fastlane"].cpu_us
        print(
            f"{name:32}{kind:>10}{figure.requests_a_second:12,.0f}{figure.cpu_us:10.1f}{ratio:12.2f}"
        )
    kept = True
    for name, limit in (("small", 25.0), ("small, each head new", 35.0)):
        value = best[name, "fastlane"].cpu_us
        kept = kept and value <= limit
        verdict = "ok" if value <= limit else "MISSED"
        print(f"{name + ', CPU us':40}{value:8.1f} <= {limit:<6g}{verdict}")
    return kept


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; returns 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--serve", choices=("fastlane", "aiohttp", "bare"))
    chosen = parser.parse_args(arguments)
    if chosen.serve:
        uvloop.run(_serve(chosen.serve))
        return 0
    missing = [one for one in ("wrk", "h2load") if shutil.which(one) is None]
    if missing:
        print(f"{' and '.join(missing)} missing: apt install wrk nghttp2-client")
        return 2
    return 0 if report(run(chosen.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
