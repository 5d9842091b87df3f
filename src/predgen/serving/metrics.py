"""What a service counts, for Prometheus; no text and nothing of a request but its address and status."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from predgen.serving.served_run import ServedRun

TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_KNOWN = {"/", "/v1/runs", "/v1/predict", "/v1/explain", "/healthz", "/readyz", "/metrics", "/openapi.json"}


class Metrics:
    """The counters of one service.

    Args:
        runs: Named in `predgen_run_info`.
    """

    def __init__(self, runs: Sequence[ServedRun]) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter("predgen_requests", "Requests replied to.", ["path", "status"], registry=registry)
        self._seconds = Histogram(
            "predgen_request_seconds", "Arrival to reply.", ["path"], registry=registry, buckets=_SECONDS
        )
        self._refused = Counter("predgen_refused", "Requests refused.", ["reason"], registry=registry)
        self._rows = Counter("predgen_rows", "Rows the model has read.", ["run", "kind"], registry=registry)
        self._pass_seconds = Histogram(
            "predgen_pass_seconds", "The model's time for a pass.", ["run", "kind"], registry=registry, buckets=_SECONDS
        )
        self._pass_rows = Histogram("predgen_pass_rows", "Rows of a pass.", registry=registry, buckets=_COUNTS)
        self._pass_requests = Histogram(
            "predgen_pass_requests", "Requests that shared a pass.", registry=registry, buckets=_COUNTS
        )
        self._waiting = Gauge("predgen_waiting_rows", "Rows that wait for the model.", registry=registry)
        info = Gauge("predgen_run_info", "1 of every run served.", ["run", "version", "model"], registry=registry)
        for run in runs:
            info.labels(run.name, run.version, run.model).set(1)

    def waiting(self, rows: int) -> None:
        """So many rows wait now, those that the model is reading included."""
        self._waiting.set(rows)

    def passed(self, run: str, kind: str, rows: int, requests: int, seconds: float) -> None:
        """The model has read rows."""
        self._rows.labels(run, kind).inc(rows)
        self._pass_seconds.labels(run, kind).observe(seconds)
        if kind == "predict":
            self._pass_rows.observe(rows)
            self._pass_requests.observe(requests)

    def replied(self, path: str, status: int, seconds: float, reason: str | None) -> None:
        """A request was replied to.

        Args:
            path: Its address; those that are none of ours are counted as one, since anybody can make them up.
            status: Of the reply.
            seconds: From arrival to reply.
            reason: Why it was refused, if it was.
        """
        known = path if path in _KNOWN else "/assets/" if path.startswith("/assets/") else "other"
        self._requests.labels(known, str(status)).inc()
        self._seconds.labels(known).observe(seconds)
        if reason is not None:
            self._refused.labels(reason).inc()

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
