"""What a cell was made with, and how much memory there is."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, cores, memory and GPU, without a name of the machine."""
    import torch

    facts: dict[str, Any] = {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(main_memory() / 2**30, 1),
        "python": platform.python_version(),
    }
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name(0)
        facts["gpu_memory_gib"] = round(_gpu_memory() / 2**30, 1)
    return facts


def versions() -> dict[str, str]:
    """Of predgen and what it computes with."""
    from predgen import __version__

    return {"predgen": __version__, **{name: version(name) for name in ("torch", "transformers", "peft", "tokenizers")}}


def memory_for_models() -> tuple[int, str]:
    """Bytes that a model and its training may take, and what they are of; 0 where that is not known."""
    import torch

    if torch.cuda.is_available():
        return _gpu_memory(), str(torch.cuda.get_device_name(0))
    return main_memory(), "this machine"


def main_memory() -> int:
    """Bytes of main memory; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return 0


def _gpu_memory() -> int:
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory)
