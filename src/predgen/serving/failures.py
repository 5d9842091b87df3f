"""Failures as replies: one shape for all, and none of a request's text in them or in the log."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

log = logging.getLogger("predgen.serving")
CODES = {
    400: "bad_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    411: "length_required",
    413: "too_large",
    415: "not_json",
    421: "wrong_host",
    422: "invalid",
    429: "too_many",
    500: "internal",
    503: "unavailable",
}
RETRY_AFTER = 1  # seconds


class Refused(Exception):
    """A request that is answered by a failure.

    Args:
        status: The reply's status.
        message: What was found, what was expected, what to do.
        row: The row that it lies in.
        field: The column, or the part of the request.
        reason: Under which it is counted; None: the status's own.
    """

    def __init__(
        self, status: int, message: str, row: int | None = None, field: str | None = None, reason: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.row, self.field = status, message, row, field
        self.reason = reason or CODES[status]


def failure(status: int, message: str, row: int | None = None, field: str | None = None) -> dict[str, Any]:
    """The body of a reply."""
    told: dict[str, Any] = {"code": CODES.get(status, "failed"), "message": message}
    told |= {name: value for name, value in (("row", row), ("field", field)) if value is not None}
    return {"error": told}


def failed(status: int, message: str, row: int | None = None, field: str | None = None) -> JSONResponse:
    """The reply, with what its status promises in the headers."""
    headers: dict[str, str] = {}
    if status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    # Half a character in a column's name must not stop the reply.
    clean = message.encode("utf-8", "replace").decode()
    name = None if field is None else field.encode("utf-8", "replace").decode()
    return JSONResponse(failure(status, clean, row, name), status, headers)


def place_of(location: Sequence[str | int], tagged: bool) -> tuple[int | None, str | None]:
    """Row and field that a validation error's location names.

    Args:
        location: As pydantic gives it.
        tagged: Whether the type of the request was chosen by the run's name, which then stands in it.
    """
    path = list(location)[2 if tagged else 1 :]  # behind "body"
    for place, part in enumerate(path):
        if part == "rows" and len(path) > place + 1 and isinstance(path[place + 1], int):
            behind = path[place + 2 : place + 3]
            return int(path[place + 1]), str(behind[0]) if behind else None
        if part == "row" and len(path) > place + 1:
            return 0, str(path[place + 1])
    named = [str(part) for part in path if isinstance(part, str)]
    return None, named[-1] if named else None


def _invalid(problem: RequestValidationError, tagged: bool) -> JSONResponse:
    errors: Sequence[Mapping[str, Any]] = problem.errors()
    first = errors[0]
    if first["type"] == "json_invalid":
        return failed(400, "The request's body is not JSON.")
    if first["type"].startswith("union_tag"):  # which run is meant
        known = first["ctx"].get("expected_tags")
        message = "The request names no run." if known is None else f"No run of that name answers here. Known: {known}."
        return failed(422, message + " (GET /v1/runs lists them.)", None, "run")
    row, field = place_of(first["loc"], tagged)
    where = "" if row is None else f"Row {row}: " if field is None else f"Row {row}, column {field!r}: "
    more = f" ({len(errors)} such problems in all)" if len(errors) > 1 else ""
    message = str(first["msg"]).rstrip(".")
    return failed(422, f"{where}{message}{more}.", row, field)


def install(app: FastAPI, tagged: Collection[str]) -> None:
    """Makes every failure of an application one of these replies.

    Args:
        app: The application.
        tagged: The addresses whose requests are of one type for each of several runs.
    """

    @app.exception_handler(Refused)
    async def refused(request: Request, problem: Refused) -> JSONResponse:
        request.scope["predgen_reason"] = problem.reason
        return failed(problem.status, problem.message, problem.row, problem.field)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, problem: RequestValidationError) -> JSONResponse:
        request.scope["predgen_reason"] = "invalid"
        return _invalid(problem, request.scope["path"] in tagged)

    @app.exception_handler(HTTPException)
    async def known(request: Request, problem: HTTPException) -> JSONResponse:
        messages = {
            400: "The request's body cannot be read as JSON.",
            404: "There is nothing under this address.",
            405: "This address does not take that method.",
        }
        reply = failed(problem.status_code, messages.get(problem.status_code, str(problem.detail)))
        reply.headers.update(problem.headers or {})
        return reply


def log_failure(problem: BaseException) -> None:
    """Writes where it happened and of what type it is; its words may hold a row's text."""
    places = "".join(traceback.format_tb(problem.__traceback__))
    log.error("A request failed with %s at\n%s", type(problem).__name__, places)
