"""TLS of servers over files that change: certificates are short-lived, connections are not.

Kubernetes swaps the files under a running process. A new handshake takes what the files said last,
connections that stand go on as they are, and files that cannot be used change nothing.

    tls = ServerTls(settings.tls) if settings.tls.enabled else None
    server = make_server([...], health=health, tls=tls)
    Step(name="tls", start=tls.open, close=tls.close)
"""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self, cast

import grpc
from watchfiles import awatch

from chassis.certificates import names_it
from chassis.errors import OperatorError
from chassis.log import get_logger
from chassis.tls_settings import Pem, PemError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from chassis.metrics import Metrics
    from chassis.tls_settings import TlsSettings

_SETTLE_MS: Final = 50  # the two files of a pair are written one after the other
# A change that gave no event (NFS, the instant before the watch stands) is seen this late.
_RECHECK_SECONDS: Final = 1.0
# Of strangers at the door one line a minute is enough; the counter has them all.
_STRANGER_SECONDS: Final = 60.0

log = get_logger(__name__)


class ServerTls:
    """The TLS of one server or several. Made within the event loop, with the files read.

    `context` is for asyncio's servers and for `fastlane`. OperatorError if the files are unusable.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        try:
            self._pem = Pem.read(settings)
            first = self._pem.context()
        except PemError as error:
            raise OperatorError(f"TLS cannot start: the file of {error.field} {error}") from error
        self.context = LiveContext()
        self.loads = 0
        self.failed_loads = 0
        self.strangers = 0
        self.ends_at = 0.0
        self._seen: tuple[Pem | None, str] | None = None
        self._told: tuple[Pem | None, str] | None = None
        self._told_stranger_at = 0.0
        self._stop = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._adopt(self._pem, first)

    @property
    def san(self) -> str:
        """The name that clients' certificates must carry; empty if any will do."""
        return self._settings.client_san

    def grpcio_credentials(self) -> grpc.ServerCredentials:
        """Return the same for `grpc.aio.server`, which has no way to look at `san`."""
        if self.san:
            raise OperatorError(
                "GRPC_CLIENT_TLS_SAN is looked at by SLUICE_GRPC_SERVER=fastlane only; "
                "leave SLUICE_GRPC_SERVER unset, or GRPC_CLIENT_TLS_SAN"
            )
        given = self._pem

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            if given is self._pem:
                return None
            given = self._pem
            return _for_grpcio(given)

        asks = given.authorities is not None
        # The stubs do not say that None stands for `as before`.
        fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", changed)
        return grpc.dynamic_ssl_server_credentials(_for_grpcio(given), fetch, asks)

    async def open(self) -> None:
        """Follow the files."""
        self._watching = asyncio.create_task(self._watch(), name="tls files")

    async def close(self) -> None:
        """Stop following them."""
        self._stop.set()
        if self._watching is not None:
            await self._watching

    def observe(self, metrics: Metrics) -> None:
        """Expose the loads, the strangers turned away, and when our certificate ends."""
        metrics.observe_counter(
            "tls_loads",
            "Loads of the certificate files, by result.",
            read=lambda: [
                (self.loads, {"result": "success"}),
                (self.failed_loads, {"result": "error"}),
            ],
        )
        metrics.observe_counter(
            "tls_strangers",
            "Clients refused because their certificate lacks the name it must carry.",
            read=lambda: self.strangers,
        )
        metrics.observe_gauge(
            "tls_certificate_end",
            "When the certificate in use ends, in Unix time.",
            "s",
            read=lambda: self.ends_at,
        )

    async def reload(self) -> None:
        """Take what the files say now. What cannot be used changes nothing, and is told once."""
        found: Pem | None = None
        try:
            found = await asyncio.to_thread(Pem.read, self._settings)
            if found == self._pem:
                self._seen = None
                return
            context = await asyncio.to_thread(found.context)
        except PemError as error:
            self._on_unusable(found, error)
        else:
            self._seen = None
            self._adopt(found, context)

    def _adopt(self, pem: Pem, context: ssl.SSLContext) -> None:
        if self.san:
            context.sslobject_class = _looking_for(self.san, self._on_stranger)
        self.context.use(context)
        self._pem = pem
        self.loads += 1
        self.ends_at = pem.ends_at
        ends = datetime.fromtimestamp(self.ends_at, UTC)
        tell = log.info if ends > datetime.now(UTC) else log.error
        what = "certificate in use" if tell == log.info else "certificate in use has ended: renew"
        tell(what, file=str(self._settings.cert), ends=ends.isoformat())

    def _on_unusable(self, found: Pem | None, error: PemError) -> None:
        # Seen once it may be half of a swap; what is still so at the next look is worth a line.
        seen = (found, f"{error.field} {error}")
        if seen == self._seen and seen != self._told:
            self._told = seen
            self.failed_loads += 1
            log.error("certificate not reloaded, the old one stays", problem=seen[1])
        self._seen = seen

    def _on_stranger(self, names: Sequence[str]) -> None:
        self.strangers += 1
        now = asyncio.get_running_loop().time()
        if self.strangers == 1 or now - self._told_stranger_at >= _STRANGER_SECONDS:
            self._told_stranger_at = now
            log.warning(
                "a client was refused: its certificate lacks the name of GRPC_CLIENT_TLS_SAN",
                expected=self.san,
                names=list(names[:8]),
            )

    async def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                await self._follow_events()
            except OSError as error:
                # The system's limit on watches, or the folder itself is being replaced.
                log.warning("certificates are polled, watching fails", error=str(error))
                await self.reload()
                await self._pause()

    async def _follow_events(self) -> None:
        settings = self._settings
        files = [file for file in (settings.cert, settings.key, settings.authorities) if file]
        # The folders, because a swapped file is another one. In Kubernetes `..data` is swapped,
        # through which the file's own link leads.
        async for _ in awatch(
            *{file.parent for file in files},
            watch_filter=None,
            recursive=False,
            step=_SETTLE_MS,
            rust_timeout=int(_RECHECK_SECONDS * 1000),
            yield_on_timeout=True,
            stop_event=self._stop,
        ):
            await self.reload()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), _RECHECK_SECONDS)
        except TimeoutError:
            return


class LiveContext(ssl.SSLContext):
    """A server's context that hands each new connection to the context in use at that moment.

    Loading another certificate into a context that serves would leave the old one beside it where
    the kind of key differs, and sessions made under the old authorities would be resumed.
    """

    def __new__(cls) -> Self:
        """Make it; `use` gives it something to serve with."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self) -> None:
        self._current: ssl.SSLContext | None = None
        self._protocols: list[str] = []

    def use(self, context: ssl.SSLContext) -> None:
        """Serve new connections with `context`."""
        if self._protocols:
            context.set_alpn_protocols(self._protocols)
        self._current = context

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Offer these, with this context and with those to come."""
        self._protocols = list(alpn_protocols)
        if self._current is not None:
            self._current.set_alpn_protocols(self._protocols)

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection, as asyncio and uvloop do."""
        if self._current is None:
            raise RuntimeError("use() first")
        return self._current.wrap_bio(*arguments, **options)


def _looking_for(san: str, refuse: Callable[[Sequence[str]], None]) -> type[ssl.SSLObject]:
    class Checked(ssl.SSLObject):
        """A connection that is refused in its handshake if the client has another name."""

        def do_handshake(self) -> None:
            super().do_handshake()
            certificate: Mapping[str, Any] = self.getpeercert() or {}
            if not names_it(certificate, san):
                refuse([value for _, value in certificate.get("subjectAltName", ())])
                raise ssl.SSLCertVerificationError("the client's certificate has another name")

    return Checked


def _for_grpcio(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.chain)], pem.authorities)
