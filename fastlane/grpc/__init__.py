"""A drop-in for `grpc.aio.Server` on the sans-IO HTTP/2 core.

Read it in this order: `server` (what a user sees), `link` (one connection), `plan` (what a request
head means), `call` (one call), `context` (what a servicer sees of it), `run` (the kinds of
handlers), `batches` and `deadlines` (how many calls share few tasks and timers), `vitals`
(keepalive and age), `messages`, `metadata`, `status` (the wire), `credentials`,
`options`.
"""

from fastlane.grpc.credentials import ServerCredentials, ssl_server_credentials
from fastlane.grpc.server import Server, server
from fastlane.grpc.status import Abort

__all__ = ["Abort", "Server", "ServerCredentials", "server", "ssl_server_credentials"]
