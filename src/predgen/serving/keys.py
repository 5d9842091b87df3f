"""Keys: who may ask the model."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from predgen.errors import ConfigError
from predgen.serving.failures import failed

# What the page needs before anyone can type a key, and what a supervisor asks.
OPEN = frozenset({"/", "/v1/runs", "/healthz", "/readyz", "/openapi.json"})
OPEN_FOLDER = "/assets/"
SHORTEST = 16  # characters


def read_keys(path: Path) -> tuple[str, ...]:
    """The keys of a file, one a line; blank lines and lines that begin with # are none.

    Raises:
        ConfigError: If it cannot be read, holds no key, or one that is short or no plain ASCII.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"The key file {path} cannot be read: {problem}.") from problem
    keys = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not keys:
        raise ConfigError(f"The key file {path} holds no key.", "Expected one a line.")
    for number, key in enumerate(keys, start=1):
        if len(key) < SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError(
                f"Key {number} of {path} cannot be used.",
                f"Expected at least {SHORTEST} printable ASCII characters without blanks.",
                "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one.",
            )
    return keys


class KeyCheck:
    """Refuses requests without a key, in a time that does not depend on the key.

    Args:
        app: What replies to the others.
        keys: Any of them will do; none: nothing is refused.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._digests = [_digest(key.encode()) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        asked = scope["type"] == "http" and self._digests and not _is_open(scope["path"])
        if asked and not self._known(Headers(scope=scope).get("authorization", "")):
            scope["predgen_reason"] = "unauthorized"
            message = "A key is needed: the header Authorization: Bearer KEY."
            await failed(401, message)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _known(self, header: str) -> bool:
        scheme, _, key = header.partition(" ")
        given = _digest(key.strip().encode("utf-8", "surrogateescape"))
        # Every key is compared, so that neither which one nor how much of it fits can be told from the time.
        fits = [hmac.compare_digest(given, known) for known in self._digests]
        return scheme.lower() == "bearer" and any(fits)


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(OPEN_FOLDER)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
