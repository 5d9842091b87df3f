"""What to do when memory runs out: see that it did, and make passes smaller."""

from __future__ import annotations

import gc

import torch


def out_of_memory(problem: BaseException) -> bool:
    """Whether there is not enough memory, on a GPU or a CPU.

    PyTorch has a type for GPUs alone; on a CPU its allocator says so in words, those of Windows included.
    """
    if isinstance(problem, torch.OutOfMemoryError | MemoryError):
        return True
    words = ("DefaultCPUAllocator", "can't allocate memory", "not enough memory")
    return isinstance(problem, RuntimeError) and any(word in str(problem) for word in words)


def free_memory() -> None:
    """Gives back what an attempt that failed has left, once its error is forgotten: the error holds its tensors."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
