"""Peak memory of one system alone: a fresh process that makes it, runs it, and prints what it took (Linux)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def alone(script: str, asked: Any) -> dict[str, float]:
    """What a benchmark's `--alone` prints of what is asked of it, in a process of its own.

    Raises:
        RuntimeError: If that process fails; with the end of what it said.
    """
    # glibc keeps what large tensors leave for later ones, and raises the size from which it does not: after three steps
    # a process may hold half as much again as it uses. With a fixed size tensors go back to the system at once.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    command = [sys.executable, script, "--alone", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{script} --alone {json.dumps(asked)} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def peak_of(run: Callable[[], Any], times: int) -> dict[str, float]:
    """Runs a system, and says what this process held at most meanwhile.

    Returns:
        peak_mb: resident at most, in MB; loading is left out where the system can forget it.
        step_mb: how much more that was than before the first run.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        before = resident_mb("VmHWM")
    else:
        before = resident_mb("VmRSS")
    for _ in range(times):
        run()
    # Not getrusage: its peak is inherited from the process that started this one.
    peak = resident_mb("VmHWM")
    return {"peak_mb": round(peak, 1), "step_mb": round(peak - before, 1)}


def resident_mb(key: str) -> float:
    """VmRSS, what is held now, or VmHWM, what was held at most, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{key}:")[2].split()[0]) / 1024
