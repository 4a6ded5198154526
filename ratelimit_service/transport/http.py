"""The HTTP side: `/json` for callers without gRPC, `/healthcheck` for load balancers.

Paths and codes are envoyproxy/ratelimit's, but faults of ours are not the caller's: 503 and 500
instead of its 400.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import json_format

from chassis.errors import InvalidRequest
from chassis.http import JSON, Answer, Request, Route
from wire.envoy.service.ratelimit.v3 import rls_pb2

if TYPE_CHECKING:
    from chassis.health import Health
    from ratelimit_service.transport.servicer import RateLimitServicer

TOO_MANY_REQUESTS = 429


def routes(servicer: RateLimitServicer, health: Health) -> dict[str, Route]:
    """Return the routes of the main HTTP port."""

    async def answer_json(request: Request) -> Answer:
        try:
            message = json_format.Parse(request.body, rls_pb2.RateLimitRequest())
        except (json_format.ParseError, UnicodeDecodeError) as error:
            raise InvalidRequest(
                "the body is not an envoy.service.ratelimit.v3.RateLimitRequest in JSON: "
                f'{error}; send {{"domain": "...", "descriptors": [...]}}'
            ) from error
        verdict, answer = await servicer.answer(message.SerializeToString(), None)
        response = rls_pb2.RateLimitResponse.FromString(answer)
        return Answer(
            status=TOO_MANY_REQUESTS if verdict.over else 200,
            content_type=JSON,
            body=json_format.MessageToJson(response).encode() + b"\n",
            headers=_headers(response),
        )

    async def answer_health(_: Request) -> Answer:
        return Answer.text("OK") if health.serving else Answer.text("not ready", status=500)

    return {
        "/json": Route(
            handler=answer_json,
            methods=frozenset({"POST", "PUT", "GET"}),
            doc="a RateLimitRequest in JSON; answers 200 or 429",
        ),
        "/healthcheck": Route(
            handler=answer_health, doc="200 OK when it would serve now, else 500"
        ),
    }


def _headers(response: rls_pb2.RateLimitResponse) -> dict[str, str]:
    """Return the headers an Envoy would add, and Retry-After, which it makes of the statuses."""
    headers = {header.key: header.value for header in response.response_headers_to_add}
    waits = [
        status.duration_until_reset.seconds
        for status in response.statuses
        if status.code == rls_pb2.RateLimitResponse.OVER_LIMIT
    ]
    if response.overall_code == rls_pb2.RateLimitResponse.OVER_LIMIT and waits:
        headers["Retry-After"] = str(max(1, *waits))
    return headers
