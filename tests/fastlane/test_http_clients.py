"""Other people's clients: curl, nghttp, h2load, wrk, and the conformance suite h2spec."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fastlane.http import Request, Response, Server
from tests import golang
from tests.fastlane import certificates, h2spec
from tests.fastlane.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def needs(program: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is missing: apt install {package}"
    )


@contextlib.contextmanager
def process() -> Iterator[int]:
    """Run the test server; it must stop by itself when asked, and have nothing to say."""
    command = [sys.executable, "-m", "tests.fastlane.http_server"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            yield int(running.stdout.readline())
        finally:
            running.terminate()
            try:
                _, complaints = running.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                running.kill()
                raise
    assert running.returncode == 0
    assert complaints == ""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with process() as number:
        yield number


def run(*command: str, stdin: bytes | None = None) -> bytes:
    done = subprocess.run(command, capture_output=True, timeout=50, input=stdin, check=True)
    return done.stdout


CURL = ("curl", "-sS", "--fail", "--max-time", "20")


VERSIONS = ["--http1.0", "--http1.1", "--http2", "--http2-prior-knowledge"]
"""--http2 offers an upgrade, which must be passed over."""

curl = needs("curl", "curl")


@curl
@pytest.mark.parametrize("version", VERSIONS)
def test_curl_gets(port: int, version: str) -> None:
    assert run(*CURL, version, f"http://127.0.0.1:{port}/") == b"hello\n"


@curl
@pytest.mark.parametrize("version", VERSIONS)
def test_curl_asks_for_a_head(port: int, version: str) -> None:
    head = run(*CURL, version, "-I", f"http://127.0.0.1:{port}/")
    assert b"content-length: 6\r\n" in head


@curl
@pytest.mark.parametrize("version", VERSIONS)
def test_curl_uploads_with_a_length(port: int, version: str) -> None:
    body = bytes(range(256)) * 4_096
    url = f"http://127.0.0.1:{port}/echo"
    assert run(*CURL, version, "--data-binary", "@-", url, stdin=body) == body


@curl
@pytest.mark.parametrize("version", VERSIONS[1:])  # 1.0 cannot send a length it does not know
def test_curl_streams_both_ways(port: int, version: str) -> None:
    body = bytes(range(256)) * 16_384
    url = f"http://127.0.0.1:{port}/stream"
    assert run(*CURL, version, "-T", "-", url, stdin=body) == body


@curl
@pytest.mark.parametrize("version", VERSIONS)
def test_curl_downloads(port: int, version: str) -> None:
    assert len(run(*CURL, version, f"http://127.0.0.1:{port}/big")) == 1024 * 1024


@curl
@pytest.mark.parametrize("version", VERSIONS[:3])  # curl 7.88 fails at the last with any server
def test_curl_asks_three_times_on_one_connection(port: int, version: str) -> None:
    url = f"http://127.0.0.1:{port}/"
    assert run(*CURL, version, url, url, url) == b"hello\n" * 3


@needs("nghttp", "nghttp2-client")
def test_nghttp(port: int) -> None:
    printed = run("nghttp", "-v", "-s", f"http://127.0.0.1:{port}/big").decode()
    assert ":status: 200" in printed
    assert "GOAWAY" in printed
    assert "PROTOCOL_ERROR" not in printed


@needs("h2load", "nghttp2-client")
@pytest.mark.parametrize("arguments", [("-m", "32"), ("--h1", "-m", "8"), ("--h1",)])
def test_h2load(port: int, arguments: tuple[str, ...]) -> None:
    printed = run(
        "h2load", "-c", "4", "-n", "4000", *arguments, f"http://127.0.0.1:{port}/"
    ).decode()
    assert "4000 succeeded" in printed, printed


@needs("wrk", "wrk")
def test_wrk(port: int) -> None:
    printed = run("wrk", "-t1", "-c16", "-d1s", f"http://127.0.0.1:{port}/").decode()
    assert "Socket errors" not in printed
    assert "Non-2xx" not in printed
    found = re.search(r"(\d+) requests in", printed)
    assert found is not None
    assert int(found[1]) > 100


@pytest.mark.conformance
@pytest.mark.timeout(600)
@pytest.mark.skipif(not golang.has_go(), reason="Go builds h2spec: apt install golang-go")
def test_every_case_of_h2spec_passes(tmp_path: Path) -> None:
    program = h2spec.build(h2spec.Shape.BARE, tmp_path)
    with process() as own:
        passed, printed = h2spec.run(program, own, h2spec.Shape.BARE)
    assert passed == 146, printed


@curl
@pytest.mark.skipif(not certificates.has_openssl(), reason="apt install openssl")
@pytest.mark.parametrize(("flag", "version"), [("--http2", b"2"), ("--http1.1", b"1.1")])
async def test_tls_offers_both_versions(tmp_path: Path, flag: str, version: bytes) -> None:
    certificates.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")

    async def handler(request: Request) -> Response:
        return Response(200, (), request.scheme + b" " + request.version.encode())

    server = Server(handler)
    port = server.add("127.0.0.1:0", tls=context)
    await server.start()
    running = await asyncio.create_subprocess_exec(
        *CURL,
        *(flag, "--cacert", str(tmp_path / "ca.pem"), "--resolve", f"localhost:{port}:127.0.0.1"),
        f"https://localhost:{port}/",
        stdout=subprocess.PIPE,
    )
    printed, _ = await running.communicate()
    await server.stop()
    assert printed == b"https " + version
