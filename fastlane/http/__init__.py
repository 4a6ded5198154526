"""An HTTP server for asyncio: HTTP/1.1 and HTTP/2 on one port, one handler for both.

Read it in this order: `grammar`, `heads` and `chunks` (what a request may look like), `one` (the
receiving half of HTTP/1), `response`, `fields` and `wording` (what an answer becomes), all without
I/O; then `request` and `body` (what a handler sees), `exchange` (one request and its response),
`session_one` and `session_two` (a connection of either version), `link` (its transport), `server`.
Every bound stands in `limits`.
"""

from fastlane.http.body import Body
from fastlane.http.errors import Refusal, ResponseError
from fastlane.http.fields import Prepared
from fastlane.http.heads import Head
from fastlane.http.limits import Limits
from fastlane.http.request import Request
from fastlane.http.response import Response
from fastlane.http.server import Server

__all__ = [
    "Body",
    "Head",
    "Limits",
    "Prepared",
    "Refusal",
    "Request",
    "Response",
    "ResponseError",
    "Server",
]
