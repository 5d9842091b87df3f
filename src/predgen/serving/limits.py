"""What a request may be, before it is read as JSON: under which name it comes, how large, how slow, of which type."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predgen.serving.failures import Refused, failed
from predgen.serving.settings import Limits

BODIES_HELD = 32  # largest bodies that are in memory at once
_WITH_BODY = ("POST", "PUT", "PATCH")


class RequestLimits:
    """Reads a request's body within the limits and hands it on whole, or refuses it.

    Args:
        app: What replies.
        limits: body_bytes, seconds and queue are read.
        hosts: Names under which the service may be called, without ports; none: any. A page from elsewhere whose name
            was made to point here, comes under its own.
    """

    def __init__(self, app: ASGIApp, limits: Limits, hosts: Sequence[str]) -> None:
        self._app, self._limits = app, limits
        self._hosts = frozenset(host.lower() for host in hosts)
        self._held = 0  # bytes
        self._inside = 0  # requests with a body that are not answered yet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = b""
        try:
            self._check_host(scope)
            if scope["method"] in _WITH_BODY:
                self._check_room()
                body = await self._body(scope, receive)  # which counts it as held
        except Refused as problem:
            scope["predgen_reason"] = problem.reason
            reply = failed(problem.status, problem.message)
            reply.headers["Connection"] = "close"  # what is left of the body is not read
            await reply(scope, receive, send)
            return
        handed = False

        async def replay() -> Message:
            nonlocal handed
            if handed:
                return await receive()
            handed = True
            return {"type": "http.request", "body": body, "more_body": False}

        counted = scope["method"] in _WITH_BODY
        self._inside += counted
        try:
            await self._app(scope, replay, send)
        finally:
            self._held -= len(body)
            self._inside -= counted

    def _check_room(self) -> None:
        # Each of those inside has at least one row in the queue, so that this one would be refused there. Before its
        # body is read, that costs next to nothing, and those who wait are not kept waiting by those who are refused.
        if self._inside >= self._limits.queue:
            raise Refused(429, f"{self._inside} requests are waiting already. Try again soon.", reason="queue_full")

    def _check_host(self, scope: Scope) -> None:
        if not self._hosts:
            return
        host = Headers(scope=scope).get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name.strip("[]").lower() not in self._hosts:
            raise Refused(421, "The service does not answer under this name. (--allow-host)", reason="wrong_host")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        headers = Headers(scope=scope)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(415, "Expected a body of the type application/json.")
        most = self._limits.body_bytes
        stated = headers.get("content-length", "0")
        if not (stated.isascii() and stated.isdigit()):
            raise Refused(400, "The header Content-Length is no number.")
        # Compared by length first: a number of a million digits need not be read.
        if len(stated) > 15 or int(stated) > most:
            raise self._too_large()
        if self._held + int(stated) > BODIES_HELD * most:
            raise _no_memory()
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await self._read(receive, most)
        except TimeoutError:
            raise Refused(408, f"The body did not arrive within {self._limits.seconds:g} seconds.") from None

    async def _read(self, receive: Receive, most: int) -> bytes:
        parts, size = [], 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "The body ended too early.", reason="disconnected")
                part = message.get("body", b"")
                parts.append(part)
                size += len(part)
                self._held += len(part)  # as it comes: slow ones, and those of no stated length, are in memory too
                if size > most:
                    raise self._too_large()
                if self._held > BODIES_HELD * most:
                    raise _no_memory()
                if not message.get("more_body", False):
                    return b"".join(parts)
        except BaseException:  # a timeout's too
            self._held -= size
            raise

    def _too_large(self) -> Refused:
        return Refused(413, f"The body is larger than {self._limits.body_bytes:,} bytes. Send fewer rows at a time.")


def _no_memory() -> Refused:
    return Refused(503, "Too many large requests at once. Try again soon.", reason="memory")
