"""sluice.ratelimit.v1.RateLimitAdminService: three-line handlers, and a log line a change."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.errors import InvalidRequest, SluiceError
from chassis.log import get_logger
from ratelimit_service.transport import admin_codec as codec
from ratelimit_service.transport import pages, rule_filter, rule_list
from wire.sluice.ratelimit.v1 import ratelimit_pb2 as pb
from wire.sluice.ratelimit.v1 import ratelimit_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import grpc

    from ratelimit_service.service import Limiter
    from ratelimit_service.service.operator import Operator

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["RateLimitAdminService"].full_name
MAX_PAGE = 1000
DEFAULT_RULES = 100
DEFAULT_KEYS = 10
# A grant beyond this is no grant but no limit at all; a limit itself cannot be larger.
MAX_GRANT = 2**32 - 1
# Making this many messages takes a millisecond or two; then others have their turn.
_RULES_A_TURN = 100
_SHOWN_CHARACTERS = 200  # of an entry, in the log
_SHOWN_ENTRIES = 20

log = get_logger(__name__)


class LoadedFile(Protocol):
    """A rule file or resource, and what became of it."""

    @property
    def name(self) -> str:
        """Its path or its resource's name."""

    @property
    def sha256(self) -> str:
        """Of its bytes, in hexadecimal; empty if it could not be read."""

    @property
    def error(self) -> str:
        """What is wrong with it, a problem a line."""


class Loads(Protocol):
    """What is known of how the rules came into force."""

    @property
    def generation(self) -> int:
        """How many sets of rules there have been."""

    @property
    def load_time(self) -> float | None:
        """When the present ones came, Unix seconds."""

    @property
    def files(self) -> Sequence[LoadedFile]:
        """What the last load found."""


class AdminServicer(ratelimit_pb2_grpc.RateLimitAdminServiceServicer):
    """The operator's RPCs."""

    def __init__(
        self, operator: Operator, limiter: Limiter, loads: Loads, *, directory: Path | None = None
    ) -> None:
        """`directory`: where the rule files are, if they are files; names are told without it."""
        self._operator = operator
        self._limiter = limiter
        self._loads = loads
        self._directory = f"{directory}/" if directory is not None else ""

    async def Explain(self, request: pb.ExplainRequest, _: Context) -> pb.ExplainResponse:  # noqa: N802
        """Say which rules apply, why, and what would be answered now."""
        descriptor = codec.asked(request.domain, request.descriptor)
        explanation = await self._operator.explain(request.domain, descriptor)
        return codec.explained(explanation, descriptor)

    async def GetBalance(self, request: pb.GetBalanceRequest, _: Context) -> pb.GetBalanceResponse:  # noqa: N802
        """Say what is left."""
        descriptor = codec.asked(request.domain, request.descriptor)
        found = await self._operator.balances(request.domain, descriptor)
        return pb.GetBalanceResponse(balances=map(codec.balance_of, found))

    async def Reset(self, request: pb.ResetRequest, context: Context) -> pb.ResetResponse:  # noqa: N802
        """Make limits whole."""
        descriptor = codec.asked(request.domain, request.descriptor)
        with _told("reset", context, request):
            found = await self._operator.reset(request.domain, descriptor)
        return pb.ResetResponse(balances=map(codec.balance_of, found))

    async def Grant(self, request: pb.GrantRequest, context: Context) -> pb.GrantResponse:  # noqa: N802
        """Give hits."""
        descriptor = codec.asked(request.domain, request.descriptor)
        if not 0 < request.hits <= MAX_GRANT:
            raise InvalidRequest.field("hits", f"must be from 1 to {MAX_GRANT}")
        expire_in_us = None
        if request.HasField("expire_in"):
            expire_in_us = codec.microseconds_of("expire_in", request.expire_in)
        with _told("grant", context, request, hits=request.hits, expire_in_us=expire_in_us):
            found = await self._operator.grant(
                request.domain, descriptor, request.hits, expire_in_us
            )
        return pb.GrantResponse(balances=map(codec.balance_of, found))

    async def ListRules(self, request: pb.ListRulesRequest, _: Context) -> pb.ListRulesResponse:  # noqa: N802
        """List the rules in force."""
        fits = rule_filter.compiled(request.filter, pb.Rule.DESCRIPTOR)
        size = _page_size(request.page_size, DEFAULT_RULES)
        # A page belongs to its question and to the rules it was asked of.
        question = (self._loads.generation, request.domain, request.filter)
        start = pages.start_of(request.page_token, question)
        rules, policy = self._limiter.edition.rules, self._limiter.policy
        response, seen = pb.ListRulesResponse(), 0
        listed = rule_list.rules_of(rules, request.domain, reference=policy.reference)
        for number, rule in enumerate(listed, start=1):
            if number % _RULES_A_TURN == 0:
                await asyncio.sleep(0)
            rule.file = rule.file.removeprefix(self._directory)
            if not fits(rule):
                continue
            if seen == start + size:
                response.next_page_token = pages.token_of(seen, question)
                break
            if seen >= start:
                response.rules.append(rule)
            seen += 1
        return response

    async def GetConfig(self, _request: pb.GetConfigRequest, _: Context) -> pb.GetConfigResponse:  # noqa: N802
        """Say which rules are in force since when, and what was wrong with the last attempt."""
        loads = self._loads
        response = pb.GetConfigResponse(generation=loads.generation)
        if loads.load_time is not None:
            response.load_time.CopyFrom(_timestamp(loads.load_time))
        for file in loads.files:
            errors = [line.removeprefix(self._directory) for line in file.error.splitlines()]
            response.files.add(
                name=file.name.removeprefix(self._directory),
                sha256=file.sha256,
                error="\n".join(errors),
            )
        return response

    async def ListHotKeys(  # noqa: N802
        self, request: pb.ListHotKeysRequest, _: Context
    ) -> pb.ListHotKeysResponse:
        """List the descriptors asked about most."""
        size = _page_size(request.page_size, DEFAULT_KEYS)
        hottest, seconds = self._limiter.books.hottest(size, request.domain)
        window = codec.duration_of(int(seconds * 1_000_000))
        return pb.ListHotKeysResponse(keys=map(codec.hot_key_of, hottest), window=window)


@contextlib.contextmanager
def _told(
    act: str, context: Context, request: pb.ResetRequest | pb.GrantRequest, **more: int | None
) -> Iterator[None]:
    """Log a change, however it ends: who did what to what."""
    outcome = "unknown, the caller left"
    try:
        yield
        outcome = "done"
    except SluiceError as error:
        outcome = str(error)
        raise
    finally:
        identities = context.peer_identities() or ()
        entries = request.descriptor.entries
        log.warning(
            "change by hand",
            act=act,
            outcome=outcome,
            peer=context.peer(),
            identity=[bytes(name).decode("utf-8", "replace") for name in identities],
            domain=request.domain[:_SHOWN_CHARACTERS],
            descriptor=[
                f"{entry.key}={entry.value}"[:_SHOWN_CHARACTERS]
                for entry in entries[:_SHOWN_ENTRIES]
            ],
            **more,
        )


def _page_size(asked: int, default: int) -> int:
    if asked < 0:
        raise InvalidRequest.field("page_size", "must not be negative; 0 means the default")
    return min(asked or default, MAX_PAGE)


def _timestamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(int(seconds * 1_000_000))
    return stamp
