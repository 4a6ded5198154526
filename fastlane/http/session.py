"""What a connection's transport side and its HTTP side ask of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fastlane.http.engine import Engine


class Session(Protocol):
    """The HTTP side: one version's way of taking bytes and making them."""

    def receive(self, data: bytes) -> None:
        """Take bytes of one turn."""

    def output(self) -> list[bytes]:
        """Return what waits to be written."""

    @property
    def is_finished(self) -> bool:
        """Whether the connection is to be closed once everything is written."""

    def on_full(self, *, full: bool) -> None:
        """Note that the transport takes no more, or takes more again."""

    def on_due(self) -> None:
        """Note that the time set by `Wire.expect` has come."""

    def drain(self) -> None:
        """Finish what is open and take nothing new; asked again, wait for no more from the peer."""

    def close(self) -> None:
        """End every exchange: the connection is gone."""


class Wire(Protocol):
    """The transport side."""

    engine: Engine
    peer: str
    is_full: bool

    def touch(self) -> None:
        """Have `Session.output` written at the end of the turn."""

    def flush(self) -> None:
        """Write it now."""

    def hold(self, *, held: bool) -> None:
        """Stop reading from the peer, or go on."""

    def expect(self, due: float) -> None:
        """Call `Session.on_due` at a time of the loop's clock; infinity for never."""

    def abort(self, *, reset: bool = False) -> None:
        """Cut the connection; with a reset where an end would look like a body's."""
