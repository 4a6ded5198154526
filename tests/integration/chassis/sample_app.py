"""A service as small as one can be, for the tests of the lifecycle; told by SAMPLE what to do wrong."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from dataclasses import dataclass
from functools import partial

from chassis.build import this_build
from chassis.errors import ConfigError, Problem
from chassis.health import Health, Verdict
from chassis.http import Answer, HttpServer, Request, Route
from chassis.lifecycle import App, Step, run
from chassis.listen import Listen
from chassis.log import LogSettings, configure, get_logger
from chassis.metrics import Metrics
from chassis.ops import ops_routes
from chassis.server import GrpcLimits, make_server
from chassis.settings import duration_between, group, load, port, secrets, setting, text


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the sample reads."""

    grpc_port: int = setting("GRPC_PORT", 8081, parse=port, doc="gRPC")
    ops_port: int = setting("DEBUG_PORT", 6070, parse=port, doc="ops")
    sample: str = setting("SAMPLE", "", parse=text, doc="what to do wrong")
    close_seconds: float = setting(
        "CLOSE", 4.0, parse=duration_between(0, 60), doc="how long closing may take"
    )
    limits: GrpcLimits = group(GrpcLimits)
    log: LogSettings = group(LogSettings)


class Part:
    """A part that starts, reloads and closes as told."""

    def __init__(self, sample: str) -> None:
        self.sample = sample
        self.reloads = 0
        self.log = get_logger("sample")

    async def start(self) -> None:
        if self.sample == "never starts":
            self.log.info("part is starting for ever")
            await asyncio.Event().wait()
        if self.sample == "bug at start":
            raise ZeroDivisionError
        if self.sample == "bad rules":
            raise ConfigError(
                [
                    Problem(file="a.yaml", line=1, column=2, message="first"),
                    Problem(file="b.yaml", line=3, column=4, message="second"),
                ]
            )

    async def reload(self) -> None:
        if self.sample == "reload never ends":
            self.log.info("reload is under way")
            await asyncio.Event().wait()
        if self.sample == "reload blocks a thread":
            self.log.info("reload is under way")
            await asyncio.to_thread(threading.Event().wait)
        if self.sample == "bad reload" and self.reloads == 0:
            self.reloads += 1
            raise ConfigError([Problem(file="a.yaml", line=9, message="broken now")])
        self.reloads += 1

    async def close(self) -> None:
        self.log.info("part is closing")
        if self.sample == "never closes":
            await asyncio.Event().wait()
        if self.sample == "bug at close":
            raise ZeroDivisionError

    async def show(self, _: Request) -> Answer:
        return Answer.text(str(self.reloads))


def build() -> App:
    """Put it together, the way every service does."""
    settings = load(Settings, os.environ)
    configure(settings.log, secrets=secrets(settings))
    what = this_build("sample")
    part = Part(settings.sample)
    health = Health(checks={"part": lambda: Verdict(ok=True)})
    metrics = Metrics(what)
    grpc_server = make_server([], health=health, limits=settings.limits)
    ops = HttpServer(
        ops_routes(
            build=what,
            health=health,
            metrics=metrics,
            settings=settings,
            extra={"/reloads": Route(handler=part.show)},
        )
    )
    ops_listen = Listen(port=settings.ops_port, variable="DEBUG_PORT")
    grpc_listen = Listen(port=settings.grpc_port, variable="GRPC_PORT")
    return App(
        name="sample",
        health=health,
        close_seconds=settings.close_seconds,
        reload=None if settings.sample == "no reload" else part.reload,
        steps=(
            Step(name="part", start=part.start, close=part.close),
            Step(name="ops", start=partial(ops.start, ops_listen), close=ops.close),
            Step(
                name="grpc", start=partial(grpc_server.start, grpc_listen), close=grpc_server.stop
            ),
            Step(name="health", start=health.open, close=health.close),
        ),
    )


if __name__ == "__main__":
    sys.exit(run(build))
