"""Rows of many requests, read by the model together; one thread asks the model, and nobody else does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from predgen.serving.failures import Refused, log_failure
from predgen.serving.settings import EXPLANATION_ROWS, Settings

Answer = dict[str, Any]


class Answers(Protocol):
    """What the thread asks a run."""

    @property
    def name(self) -> str:
        """Rows under the same name are read together."""
        ...

    def answers(self, bodies: Sequence[str], distributions: Sequence[bool]) -> list[Answer]:
        """One answer a body, in order."""
        ...


class Watch(Protocol):
    """Is told what the thread does."""

    def waiting(self, rows: int) -> None:
        """So many rows wait now."""

    def passed(self, run: str, kind: str, rows: int, requests: int, seconds: float) -> None:
        """The model has read rows."""


@dataclass(eq=False)
class Job:
    """What one request wants.

    Args:
        run: Who is asked.
        bodies: Rendered rows.
        distribution: Whether numbers' whole distributions are wanted.
        work: In the place of rows: something else that the thread shall do.
        weight: As how many waiting rows it counts.
        deadline: On the monotonic clock; nobody waits for the answer any longer.
        done: Called in the thread with the answers, or with what went wrong.
    """

    run: Answers
    bodies: Sequence[str]
    distribution: bool
    work: Callable[[], Any] | None
    weight: int
    deadline: float
    done: Callable[[Any, BaseException | None], None]
    answers: list[Answer] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Rows that are not answered yet."""
        return len(self.bodies) - len(self.answers)


class Batcher:
    """A queue in front of one thread.

    A pass takes rows of the run whose request is the oldest, of as many requests as fit; of a long request so many as
    fit, and its rest goes to the end of the queue, so that short ones need not wait for all of it. While the model
    reads, requests gather by themselves; a pass waits only for those that were answered together the last time, since
    their senders are likely to ask again at once.

    Args:
        settings: max_batch, max_wait and the queue's limits are read.
        watch: Is told what happens.
    """

    def __init__(self, settings: Settings, watch: Watch) -> None:
        self._settings, self._watch = settings, watch
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._rows = 0  # that wait, in weights
        self._together = 1  # requests of the last pass
        self._stopping = False
        self._thread = self._new_thread()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._work, name="predgen-model", daemon=True)

    def start(self) -> None:
        """Starts the thread; once it was stopped, another."""
        self._stopping, self._thread = False, self._new_thread()
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return self._thread.is_alive() and not self._stopping

    def stop(self) -> None:
        """Takes nothing more, finishes what was taken, and ends the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    async def predict(self, run: Answers, bodies: Sequence[str], distribution: bool, arrived: float) -> list[Answer]:
        """One answer a row.

        Args:
            run: Who is asked.
            bodies: Rendered rows.
            distribution: Whether numbers' whole distributions are wanted.
            arrived: When the request came, on the monotonic clock.

        Raises:
            Refused: If too many rows wait already, the service stops, or the answer takes too long.
        """
        answers: list[Answer] = await self._submit(run, bodies, distribution, None, len(bodies), arrived)
        return answers

    async def do(self, run: Answers, work: Callable[[], Any], arrived: float) -> Any:
        """Something else that asks the model, an explanation; it counts as `EXPLANATION_ROWS` rows.

        Raises:
            Refused: As `predict` says; also what the work raises.
        """
        return await self._submit(run, (), False, work, EXPLANATION_ROWS, arrived)

    async def _submit(
        self,
        run: Answers,
        bodies: Sequence[str],
        distribution: bool,
        work: Callable[[], Any] | None,
        weight: int,
        arrived: float,
    ) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(answers: Any, problem: BaseException | None) -> None:
            if future.done():
                return  # nobody waits any longer
            if problem is None:
                future.set_result(answers)
            else:
                future.set_exception(problem)

        def done(answers: Any, problem: BaseException | None) -> None:
            loop.call_soon_threadsafe(settle, answers, problem)

        deadline = arrived + self._settings.limits.seconds
        self._take(Job(run, bodies, distribution, work, weight, deadline, done))
        try:
            return await asyncio.wait_for(future, max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise late(self._settings) from None

    def _take(self, job: Job) -> None:
        with self._changed:
            if not self.ready:
                raise Refused(503, "The service is stopping.", reason="stopping")
            if self._rows + job.weight > self._settings.limits.queue:
                raise Refused(
                    429, f"{self._rows} rows are waiting for the model already. Try again soon.", reason="queue_full"
                )
            self._jobs.append(job)
            self._count(job.weight)
            self._changed.notify_all()

    def _count(self, change: int) -> None:
        self._rows += change
        self._watch.waiting(self._rows)

    def _work(self) -> None:
        while (jobs := self._next()) is not None:
            try:
                self._serve(jobs)
            except Exception as problem:  # whatever it is, the next request must find the thread alive
                log_failure(problem)

    def _next(self) -> list[tuple[Job, int]] | None:
        """Jobs that go into the next pass, and how many rows of each; None once there will be none any more."""
        with self._changed:
            while not self._jobs:
                if self._stopping:
                    return None
                self._changed.wait()
            self._gather()
            first = self._jobs[0]
            if first.work is not None:
                self._jobs.popleft()
                return [(first, 0)]
            room, chosen, rest = self._settings.max_batch, list[tuple[Job, int]](), deque[Job]()
            for job in self._jobs:
                if job.run is not first.run or job.work is not None or not room:
                    rest.append(job)
                    continue
                rows = min(room, job.left)
                room -= rows
                chosen.append((job, rows))
            # What a long request has left stands behind those that came after it.
            rest.extend(job for job, rows in chosen if rows < job.left)
            self._jobs = rest
            self._together = len(chosen)
            return chosen

    def _gather(self) -> None:
        """Waits for as many requests as were answered together, or until a pass is full, but not for long."""
        until = time.monotonic() + self._settings.max_wait
        while len(self._jobs) < self._together and not self._stopping:
            if sum(job.left for job in self._jobs) >= self._settings.max_batch:
                return
            left = until - time.monotonic()
            if left <= 0 or not self._changed.wait(left):
                return

    def _serve(self, jobs: list[tuple[Job, int]]) -> None:
        now = time.monotonic()
        alive = []
        for job, rows in jobs:
            if job.deadline > now:
                alive.append((job, rows))
            else:
                self._finish(job, None, late(self._settings))
        if not alive:
            return
        if alive[0][0].work is not None:
            self._do(alive[0][0])
            return
        try:
            self._read(alive)
        except Exception as problem:  # one request's rows must not fail another's
            if len(alive) == 1:
                self._finish(alive[0][0], None, problem)
                return
            for job, rows in alive:
                try:
                    self._read([(job, rows)])
                except Exception as own:
                    self._finish(job, None, own)

    def _read(self, jobs: list[tuple[Job, int]]) -> None:
        run, begun = jobs[0][0].run, time.monotonic()
        bodies: list[str] = []
        distributions: list[bool] = []
        for job, rows in jobs:
            start = len(job.answers)
            bodies += job.bodies[start : start + rows]
            distributions += [job.distribution] * rows
        answers = run.answers(bodies, distributions)
        if len(answers) != len(bodies):
            raise RuntimeError(f"{len(bodies)} rows were asked, and {len(answers)} answered")
        self._watch.passed(run.name, "predict", len(bodies), len(jobs), time.monotonic() - begun)
        start = 0
        for job, rows in jobs:
            job.answers += answers[start : start + rows]
            start += rows
            if not job.left:
                self._finish(job, job.answers, None)

    def _do(self, job: Job) -> None:
        assert job.work is not None
        begun = time.monotonic()
        try:
            made, problem = job.work(), None
        except Exception as raised:
            made, problem = None, raised
        self._watch.passed(job.run.name, "explain", 1, 1, time.monotonic() - begun)
        self._finish(job, made, problem)

    def _finish(self, job: Job, answers: Any, problem: BaseException | None) -> None:
        with self._changed:
            if job in self._jobs:  # the rest of a long request that failed
                self._jobs.remove(job)
            self._count(-job.weight)
        job.done(answers, problem)


def late(settings: Settings) -> Refused:
    """What is said when an answer has taken too long."""
    return Refused(503, f"No answer within {settings.limits.seconds:g} seconds. Try again.", reason="too_late")
