"""A sans-IO HTTP/2 server connection: bytes in, events and bytes out, no clock and no sockets.

Read it in this order: `states` (the law of streams), `frames`, `heads` (well-formed requests),
`table`, `decoding` and `memo` (HPACK behind a memo), `blocks` (HPACK that we send), `windows` and
`outbound` (flow control both ways), `limits`, `budget` and `conduct` (bounds), `stream` and `dead`
(what is known of streams), `fieldblock`, `requests` and `control` (what frames do), `connection`
(the frame loop), `events` (what comes out).
"""

from fastlane.h2.connection import Connection, greeting
from fastlane.h2.errors import ErrorCode
from fastlane.h2.limits import Limits
from fastlane.h2.stream import Stream

__all__ = ["Connection", "ErrorCode", "Limits", "Stream", "greeting"]
