"""Builds h2spec, the HTTP/2 conformance suite, in two shapes from its Go module.

BARE is the program as released: its requests are bare GETs. GRPC is the same program whose common
request is a gRPC call: POST, application/grpc, te: trailers and, where a request would end with its
head, one empty message instead. It shows how strict a server is about requests that it serves.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MODULE: Final = "github.com/summerwind/h2spec"
VERSION: Final = "v2.2.1+incompatible"
HEALTH_CHECK: Final = "/grpc.health.v1.Health/Check"

_BUILD_SECONDS: Final = 240
_RUN_SECONDS: Final = 240

_COMMON_HEADERS: Final = 'HeaderField(":method", "GET"),'
_GRPC_FIELDS: Final = """
		HeaderField("content-type", "application/grpc"),
		HeaderField("te", "trailers"),
	}
}
"""
_OUTGOING: Final = """
// endsWithMessage tells whether the stream's head promised an end that a message will bring; a
// stream is in it from its first HEADERS on, so that trailers stay as they are.
var endsWithMessage = map[*Conn]map[uint32]bool{}

func (conn *Conn) holdEnd(p *http2.HeadersFrameParam) {
	if endsWithMessage[conn] == nil {
		endsWithMessage[conn] = map[uint32]bool{}
	}
	if _, begun := endsWithMessage[conn][p.StreamID]; !begun {
		endsWithMessage[conn][p.StreamID] = p.EndStream
		p.EndStream = false
	}
}

func (conn *Conn) sendEnd(streamID uint32, endHeaders bool) {
	if endHeaders && endsWithMessage[conn][streamID] {
		endsWithMessage[conn][streamID] = false
		conn.framer.WriteData(streamID, true, []byte{0, 0, 0, 0, 0})
	}
}
"""


class Shape(Enum):
    """Which requests the suite sends."""

    BARE = "bare"
    GRPC = "grpc"


def build(shape: Shape, folder: Path) -> Path:
    """Build the suite into `folder` and return the program."""
    source = folder / f"h2spec-{shape.value}"
    _copy_module(source)
    if shape is Shape.GRPC:
        _make_grpc(source / "spec" / "util.go", source / "spec" / "connection.go")
    program = folder / f"{shape.value}.bin"
    _go(source, "build", "-o", str(program), "./cmd/h2spec")
    return program


def run(program: Path, port: int, shape: Shape, *arguments: str) -> tuple[int, str]:
    """Run every case, the strict ones too; returns how many passed and what was printed."""
    path = HEALTH_CHECK if shape is Shape.GRPC else "/"
    command = [str(program), "-h", "127.0.0.1", "-p", str(port), "-P", path, "-S", "-o", "2"]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=_RUN_SECONDS, check=False
    )
    summary = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
    if summary is None:
        raise AssertionError(f"h2spec did not finish:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return int(summary[2]), done.stdout


def _copy_module(target: Path) -> None:
    listed = _go(target.parent, "mod", "download", "-json", f"{MODULE}@{VERSION}")
    shutil.copytree(json.loads(listed)["Dir"], target)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    _go(target, "mod", "init", MODULE)
    _go(target, "mod", "tidy")


def _make_grpc(util: Path, connection: Path) -> None:
    text = util.read_text()
    start = text.index(_COMMON_HEADERS)
    end = text.index("\n\t}\n}\n", start)
    head = text[:start] + text[start:end].replace('"GET"', '"POST"')
    util.write_text(head + _GRPC_FIELDS + text[end + len("\n\t}\n}\n") :])
    text = connection.read_text()
    text = text.replace(
        "func (conn *Conn) WriteHeaders(p http2.HeadersFrameParam) error {",
        "func (conn *Conn) WriteHeaders(p http2.HeadersFrameParam) error {\n\tconn.holdEnd(&p)",
    )
    text = text.replace(
        "return conn.framer.WriteHeaders(p)",
        "err := conn.framer.WriteHeaders(p)\n"
        "\tconn.sendEnd(p.StreamID, p.EndHeaders)\n\treturn err",
    )
    text = text.replace(
        "return conn.framer.WriteContinuation(streamID, endHeaders, headerBlockFragment)",
        "err := conn.framer.WriteContinuation(streamID, endHeaders, headerBlockFragment)\n"
        "\tconn.sendEnd(streamID, endHeaders)\n\treturn err",
    )
    connection.write_text(text + _OUTGOING)


def _go(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["go", *arguments],  # noqa: S607 - whichever Go the machine has
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
        env={**os.environ, "GOFLAGS": "-mod=mod -buildvcs=false"},
    )
    if done.returncode:
        raise AssertionError(f"go {' '.join(arguments)}: {done.stderr[-2000:]}")
    return done.stdout
