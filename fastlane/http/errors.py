"""What can go wrong in an exchange, and whose fault it is.

`Refusal` is the peer's fault, or a handler's polite no: it becomes an answer. `ResponseError` is
the handler's fault: it becomes a 500 and a log entry, and nothing of it reaches the wire.
"""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - an answer, not an error of this program
    """The request is answered with `status` and one line of text.

    A handler may raise it as well; `reason` is then what the client reads.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class ForeignError(Refusal):
    """What came is no HTTP at all: the connection closes without a word.

    An answer in HTTP would tell a client of another protocol nothing, and has been the way to make
    browsers run scripts from ports that serve something else.
    """

    def __init__(self) -> None:
        super().__init__(400, "this is not HTTP")


class ResponseError(ValueError):
    """The handler's response cannot be sent as it is; says what to change."""
