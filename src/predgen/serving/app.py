"""The application: addresses, and what each replies with."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

import predgen
from predgen.errors import ConfigError, DataError
from predgen.serving import metrics as counted
from predgen.serving.batcher import Batcher
from predgen.serving.catalogue import Catalogue, catalogue_of
from predgen.serving.explanation import explanation
from predgen.serving.failures import Refused, failed, install
from predgen.serving.headers import SecurityHeaders
from predgen.serving.keys import KeyCheck
from predgen.serving.limits import RequestLimits
from predgen.serving.schemas import Failed, Health, schemas_of, union_of
from predgen.serving.served_run import ServedRun
from predgen.serving.settings import Settings
from predgen.serving.watching import Watching

log = logging.getLogger("predgen.serving")
PAGE = Path(__file__).parent / "page"
_FAILURES = {
    400: "The body is not JSON.",
    401: "No key, or a wrong one.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body is of another type than JSON.",
    421: "The service was called under a name that is not its own.",
    422: "A row or another part of the request cannot be read; the error names it.",
    429: "Too many rows are waiting. Retry-After says when to try again.",
    503: "Stopping, or no answer in time. Retry-After says when to try again.",
}


class Service:
    """What the addresses share.

    Args:
        runs: At least one, of different names.
        settings: The service's.
    """

    def __init__(self, runs: Sequence[ServedRun], settings: Settings) -> None:
        self.runs = {run.name: run for run in runs}
        self.settings = settings
        self.metrics = counted.Metrics(runs)
        self.batcher = Batcher(settings, self.metrics)
        self.schemas = {run.name: schemas_of(run, settings.limits, alone=len(runs) == 1) for run in runs}
        self.catalogue = catalogue_of(runs, settings)  # it does not change while they are served

    async def predict(self, request: Request, asked: Any) -> JSONResponse:
        """Replies to ``/v1/predict``."""
        run, arrived = self.runs[asked.run], request.scope["predgen_arrived"]
        given = asked.rows if "rows" in asked.model_fields_set else [asked.row]
        rows = [run.row(each) for each in given]
        self._note(request, run, rows)
        bodies = [_body(run, row, number) for number, row in enumerate(rows)]
        answers = await self.batcher.predict(run, bodies, asked.distribution, arrived)
        return self._reply(run, arrived, {"predictions": answers})

    async def explain(self, request: Request, asked: Any) -> JSONResponse:
        """Replies to ``/v1/explain``."""
        run, arrived = self.runs[asked.run], request.scope["predgen_arrived"]
        row = run.row(asked.row)
        self._note(request, run, [row])
        _body(run, row, 0)
        field = getattr(asked, "field", None)
        try:
            made = await self.batcher.do(run, lambda: explanation(run, row, field), arrived)
        except (DataError, ConfigError) as problem:
            raise Refused(422, str(problem), 0, run.columns[0]) from problem
        return self._reply(run, arrived, made)

    def _note(self, request: Request, run: ServedRun, rows: Sequence[Mapping[str, Any]]) -> None:
        texts = f" {rows!a}" if self.settings.log_texts else ""
        request.scope["predgen_note"] = f" {run.name} {len(rows)} rows{texts}"

    def _reply(self, run: ServedRun, arrived: float, told: Mapping[str, Any]) -> JSONResponse:
        seconds = round(time.monotonic() - arrived, 6)
        about = {"run": run.name, "version": run.version, "model": run.model, "seconds": seconds}
        return JSONResponse({**about, **told})


def create_app(runs: Sequence[ServedRun], settings: Settings | None = None) -> FastAPI:
    """An application over loaded runs; it starts and ends the model's thread with itself.

    Args:
        runs: At least one, of different names.
        settings: None: the defaults.

    Raises:
        ConfigError: If there is no run, or two have one name.
    """
    settings = settings or Settings()
    names = [run.name for run in runs]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"The runs to serve are called {names}.", "Expected at least one, all of different names.")
    service = Service(runs, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await run_in_threadpool(service.batcher.stop)

    app = FastAPI(
        title="predgen",
        version=predgen.__version__,
        summary=f"Predictions of {', '.join(names)}.",
        lifespan=lifespan,
        docs_url=None,  # it would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    explaining = [each for each in service.schemas.values() if each.explain is not None]
    types = {"/v1/predict": len(runs), "/v1/explain": len(explaining)}
    install(app, tagged=[path for path, count in types.items() if count > 1])
    _add_model_routes(app, service)
    _add_status_routes(app, service)
    _add_page(app)
    # The last that is added sees a request first.
    app.add_middleware(RequestLimits, limits=settings.limits, hosts=settings.hosts)
    app.add_middleware(KeyCheck, keys=settings.keys)
    app.add_middleware(Watching, metrics=service.metrics)
    app.add_middleware(SecurityHeaders)
    return app


def _add_model_routes(app: FastAPI, service: Service) -> None:
    schemas = list(service.schemas.values())
    guarded = [Depends(HTTPBearer(auto_error=False, description="A key of the key file."))]
    common: dict[str, Any] = {
        "methods": ["POST"],
        "tags": ["model"],
        "dependencies": guarded if service.settings.keys else [],
    }

    async def predict(request: Request, asked: Any) -> JSONResponse:
        return await service.predict(request, asked)

    async def explain(request: Request, asked: Any) -> JSONResponse:
        return await service.explain(request, asked)

    app.add_api_route(
        "/v1/predict",
        _typed(predict, [each.predict for each in schemas]),
        summary="Predict one row, or many.",
        responses=_responses([each.predicted for each in schemas]),
        **common,
    )
    explained = [each for each in schemas if each.explain is not None]
    if explained:
        app.add_api_route(
            "/v1/explain",
            _typed(explain, [each.explain for each in explained if each.explain is not None]),
            summary="Which words decided a row's answer.",
            responses=_responses([each.explained for each in explained if each.explained is not None]),
            **common,
        )


def _typed(endpoint: Callable[..., Any], models: Sequence[type[BaseModel]]) -> Callable[..., Any]:
    """The endpoint with the types that are only known now."""
    body = Body(discriminator="run") if len(models) > 1 else Body()
    kinds: dict[str, Any] = {"request": Request, "asked": Annotated[union_of(models), body]}
    endpoint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind)
            for name, kind in kinds.items()
        ],
        return_annotation=JSONResponse,
    )
    return endpoint


def _responses(models: Sequence[type[BaseModel]]) -> dict[int | str, dict[str, Any]]:
    failures: dict[int | str, dict[str, Any]] = {
        status: {"model": Failed, "description": text} for status, text in _FAILURES.items()
    }
    return {200: {"model": union_of(models), "description": "The answers."}, **failures}


def _add_status_routes(app: FastAPI, service: Service) -> None:
    @app.get("/v1/runs", tags=["model"], responses={200: {"model": Catalogue}})
    async def runs() -> JSONResponse:
        """What is served, and the most that a request may hold."""
        return JSONResponse(service.catalogue)

    @app.get("/healthz", tags=["status"], responses={200: {"model": Health}})
    async def healthz() -> JSONResponse:
        """Whether the process answers."""
        return JSONResponse({"status": "ok"})

    @app.get("/readyz", tags=["status"], responses={200: {"model": Health}, 503: {"model": Failed}})
    async def readyz() -> JSONResponse:
        """Whether requests are taken: the runs are loaded, the model's thread lives, the service is not stopping."""
        if not service.batcher.ready:
            return failed(503, "The service takes no requests.")
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", tags=["status"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(service.metrics.text(), media_type=counted.TYPE)


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/assets/{name}", include_in_schema=False)
    async def asset(name: str) -> FileResponse:
        # Looked up among the names that are there: no path is made of what was asked for.
        files = {file.name: file for file in PAGE.iterdir() if file.is_file()}
        if name not in files:
            raise Refused(404, "There is nothing under this address.")
        return FileResponse(files[name])


def _body(run: ServedRun, row: Mapping[str, Any], number: int) -> str:
    try:
        return run.body(row, number)
    except DataError as problem:
        raise Refused(422, str(problem), number, run.at_fault(row)) from problem
