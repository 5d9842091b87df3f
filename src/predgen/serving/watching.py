"""The outermost layer: takes the time, counts, writes the log, and turns what nobody foresaw into a reply."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predgen.serving.failures import failed, log_failure
from predgen.serving.metrics import Metrics

log = logging.getLogger("predgen.serving")


class Watching:
    """Sees every request come and go.

    Args:
        app: What replies.
        metrics: Where replies are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived = scope["predgen_arrived"] = time.monotonic()
        status = 0

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        except Exception as problem:
            log_failure(problem)
            scope["predgen_reason"] = "internal"
            if not status:
                await failed(500, "The service failed at this request. Its log says more.")(scope, receive, seen)
        seconds = time.monotonic() - arrived
        self._metrics.replied(scope["path"], status, seconds, scope.get("predgen_reason"))
        # Nothing of the address but its path, and that without what could break a line.
        path = ascii(scope["path"])[1:-1][:100]
        log.info("%s %s %s %.1f ms%s", scope["method"], path, status, 1000 * seconds, scope.get("predgen_note", ""))
