"""Several processes that train or score together: which is which, what each does of the work, and which one is gone.

A launcher (``accelerate launch``, ``torchrun``) starts the same command several times and numbers the processes in the
environment. All of them go the same way through the program; what differs is here.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import psutil
import torch
from torch import distributed

from predgen.errors import PredgenError, ProcessLost

T = TypeVar("T")

_SIGHT_SECONDS = 10.0  # so long a broken connection may be there before the process that broke it is seen to be gone
# What says that another process's end was met, and not a fault of one's own.
_BROKEN = ("gloo", "NCCL", "onnection", "peer", "ocket")


class Peer(NamedTuple):
    """One of the processes."""

    machine: str
    pid: int


@dataclass(frozen=True)
class Processes:
    """The processes that work on one thing, as one of them sees them.

    Args:
        rank: Which one this is, from 0.
        count: How many there are.
        peers: All of them, in order; empty where there is one.
    """

    rank: int = 0
    count: int = 1
    peers: tuple[Peer, ...] = ()

    @property
    def main(self) -> bool:
        """Whether this is the one that writes files and says what happens."""
        return self.rank == 0

    def mine(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part of the work: every `count`-th item, which shares items in an order of size evenly."""
        return items[self.rank :: self.count]

    def gathered(self, value: T) -> list[T]:
        """Every process's value, in their order; all must ask.

        Args:
            value: Anything that can be copied; tensors on the processor.
        """
        if self.count == 1:
            return [value]
        values: list[T | None] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def largest(self, value: float) -> float:
        """The largest of every process's values; all must ask."""
        if self.count == 1:
            return value
        # Gradients go the same way: NCCL knows tensors on GPUs alone.
        device = "cuda" if "nccl" in distributed.get_backend() else "cpu"
        tensor = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.all_reduce(tensor, op=distributed.ReduceOp.MAX)
        return float(tensor.item())

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process; all must ask."""
        return self.largest(float(flag)) > 0

    def wait(self) -> None:
        """Returns once all have come here."""
        if self.count > 1:
            distributed.barrier()

    @contextmanager
    def watching(self, where: Callable[[], str], remedy: str) -> Iterator[None]:
        """Turns what comes of another process's end into an error that names it.

        Args:
            where: Says how far this process has come.
            remedy: What a user can do.

        Raises:
            ProcessLost: In place of the error of a connection that broke, if another process is gone. From then on this
                one is deaf to SIGTERM.
        """
        if self.count == 1:
            yield
            return
        try:
            yield
        except ProcessLost:
            raise  # has been seen further in
        except BaseException as problem:
            consequence = isinstance(problem, RuntimeError) and any(word in str(problem) for word in _BROKEN)
            before = _deaf_to_termination() if consequence else None
            lost = self._lost() if consequence else ""
            said = str(problem) if isinstance(problem, PredgenError) else f"{type(problem).__name__}: {problem}"
            self._leave_word(said, bool(lost))
            if not lost:
                if before is not None:
                    signal.signal(signal.SIGTERM, before)
                raise
            found = f"{lost} ended {where()}; the others cannot go on without it."
            raise ProcessLost(found, remedy=remedy) from problem

    def _lost(self) -> str:
        """Names the processes that ended by themselves; empty where none is seen to have."""
        end = time.monotonic() + _SIGHT_SECONDS
        while time.monotonic() < end:
            words = self._words()
            found = []
            for rank, peer in enumerate(self.peers):
                said, consequence = words.get(rank, ("", False))
                here = peer.machine == platform.node()
                if rank == self.rank or consequence or not (said or (here and not _alive(peer.pid))):
                    continue
                name = f"process {rank} of {self.count} (id {peer.pid} on {peer.machine})"
                found.append(f"{name} said {said!r} and" if said else f"{name} was killed or broke down: it")
            if found:
                text = ", ".join(found)
                return text[0].upper() + text[1:]
            time.sleep(0.1)
        return ""

    # Words go through the store that processes met at, since collectives are what has just failed.

    def _leave_word(self, said: str, consequence: bool) -> None:
        store = _store()
        if store is not None:
            store.set(f"ended/{self.rank}", json.dumps([said, consequence]))

    def _words(self) -> dict[int, tuple[str, bool]]:
        store = _store()
        if store is None:
            return {}
        try:
            ranks = [rank for rank in range(self.count) if store.check([f"ended/{rank}"])]
            return {rank: tuple(json.loads(store.get(f"ended/{rank}"))) for rank in ranks}
        except RuntimeError:
            return {}


ALONE = Processes()


def join_processes() -> Processes:
    """Meets the processes that a launcher started beside this one; `ALONE` where there was none.

    All of them must call it. A second call finds them again.
    """
    launched = "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not launched:
        return ALONE
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    rank, count = state.process_index, state.num_processes
    me = Processes(rank, count)
    return Processes(rank, count, tuple(me.gathered(Peer(platform.node(), os.getpid()))))


def leave_processes() -> None:
    """Ends what `join_processes` began, once all work is done."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _store() -> Any:
    """The store that processes met at, by a connection of its own; None where it went with the process that kept it."""
    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        patience = timedelta(seconds=2)
        # Both are public, and only written in C++, which type checkers do not see.
        store = distributed.TCPStore(  # type: ignore[attr-defined]
            host, port, is_master=False, timeout=patience, wait_for_workers=False
        )
    except (KeyError, RuntimeError):
        return None
    return distributed.PrefixStore("predgen", store)  # type: ignore[attr-defined]


def _deaf_to_termination() -> Any:
    """Ignores SIGTERM from here on: a launcher sends it to all that are left, and one that ends has to say why first.

    Returns:
        What was done with it before; None where that cannot be changed.
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
