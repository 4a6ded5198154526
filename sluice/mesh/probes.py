"""Health probes: one question to a part, answered with None (yes) or why not, in words.

..._answers asks whether a part is healthy, ..._alive only whether anybody is there to say.

They speak through bare sockets: a probe asks before the part is up and must depend on as little
as possible, and the two questions (Redis PING, an HTTP request) fit in a line each.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sluice.mesh.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# A healthy part on the same machine answers in a millisecond; one that takes two seconds is not
# healthy, and the next probe asks again.
PROBE_SECONDS: Final = 2.0

# A status line, headers and some words fit; what is longer is cut, not refused.
_ANSWER_BYTES: Final = 16384

# What of an answer's text is shown in a progress line.
_SHOWN_CHARACTERS: Final = 160


class NoAnswerError(Exception):
    """The part could not be asked, or did not answer in time; the text says which."""


async def http_answers(port: int, path: str) -> str | None:
    """GET the path; healthy when the answer is 200. Otherwise its status and first words."""
    try:
        status, said = await http_call(port, "GET", path)
    except NoAnswerError as error:
        return str(error)
    if status == 200:
        return None
    shown = " ".join(said.split())[:_SHOWN_CHARACTERS]
    return f"answers {status}" + (f": {shown}" if shown else "")


async def http_alive(port: int, path: str) -> str | None:
    """GET the path; alive when there is an answer, whatever its status."""
    try:
        await http_call(port, "GET", path)
    except NoAnswerError as error:
        return str(error)
    return None


async def redis_answers(port: int) -> str | None:
    """Send PING; healthy when the answer is PONG. A server that still loads its data is not."""
    try:
        said = await _ping(port)
    except NoAnswerError as error:
        return str(error)
    return None if said == "+PONG" else f"answers {said[:_SHOWN_CHARACTERS]}"


async def redis_alive(port: int) -> str | None:
    """Send PING; alive when there is an answer, errors included."""
    try:
        said = await _ping(port)
    except NoAnswerError as error:
        return str(error)
    return None if said else "closes the connection without an answer"


async def http_call(port: int, method: str, path: str) -> tuple[int, str]:
    """Make one HTTP request without a body; answer its status and text. Raises NoAnswerError.

    The text of a chunked answer has the sizes of the chunks in it: it is for reading and searching.
    """
    request = (
        f"{method} {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\n"
        "Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
    answer = (await _ask(port, request.encode(), _read_to_end)).decode("utf-8", "replace")
    head, _, body = answer.partition("\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise NoAnswerError("does not speak HTTP")
    return int(words[1]), body


async def _ping(port: int) -> str:
    return (await _ask(port, b"PING\r\n", asyncio.StreamReader.readline)).decode("latin-1").strip()


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    while len(answer) < _ANSWER_BYTES and (more := await reader.read(_ANSWER_BYTES)):
        answer += more
    return answer


async def _ask(
    port: int, question: bytes, read: Callable[[asyncio.StreamReader], Awaitable[bytes]]
) -> bytes:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(question)
                return await read(reader)
            finally:
                writer.close()
    except TimeoutError:
        raise NoAnswerError(f"does not answer within {PROBE_SECONDS:g} s") from None
    except (OSError, ValueError) as error:
        # ValueError: a line longer than any Redis would send, so something else listens there.
        reason = "does not listen yet" if isinstance(error, ConnectionRefusedError) else str(error)
        raise NoAnswerError(reason) from error
