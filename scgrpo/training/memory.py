"""The memory of this process: without holes, given back after each step, and measured."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from functools import cache
from pathlib import Path
from typing import Any

__all__ = [
    "limit_fragmentation",
    "memory_log",
    "release_gpu_cache",
    "release_memory",
    "release_models",
]

M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3
"""glibc's names for how many arenas its allocator may have, and from which size on a block is
mapped on its own and given back when it is freed (`malloc.h`)."""
MAPPED_BYTES = 4 * 2**20
"""Smaller ones save little more, and a step spends a fifth more time on clearing pages."""


def limit_fragmentation() -> None:
    """Keeps freed tensors from leaving holes; to be called before there are threads.

    By default glibc gives threads arenas of their own, and raises the size from which blocks are
    mapped up to 32 MiB. Tensors of different steps then leave holes that a step fills with new
    memory instead: two GiB more after some steps.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(M_ARENA_MAX, 1)
        libc.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


def release_memory() -> None:
    """Gives memory that is free back to the system: what the next step needs lies elsewhere."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def release_models() -> None:
    """Gives back models that are not used any more, with their optimizer and cache.

    They are held by cycles, which the collector finds by the number of objects, not by their size:
    a model is a few thousand objects and a GiB. Too slow for every step of a small model.
    """
    gc.collect()
    release_memory()
    release_gpu_cache()


def release_gpu_cache() -> None:
    """Gives what PyTorch keeps of its GPU for later tensors back to other processes on the card.

    Until then it counts as taken: for an engine that starts or wakes there, and for whoever asks
    what is free.
    """
    # Whoever has put something on a GPU has loaded torch.
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def memory_log() -> dict[str, float]:
    """Memory of this process now and at its peak so far, GiB; of its GPU too, if it has one."""
    log = {"memory/peak_gib": _peak_gib()}
    if (resident := _resident_gib()) is not None:
        log["memory/resident_gib"] = resident

    # Whoever measures has loaded torch; commands that have not need not.
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        log["memory/gpu_peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return log


@cache
def _glibc() -> Any | None:
    """The C library, if it is glibc."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def _peak_gib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux KiB.
    unit = 1 if sys.platform == "darwin" else 2**10
    return peak * unit / 2**30


def _resident_gib() -> float | None:
    """Resident memory now; None where the system has no /proc."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        return None
    pages = int(statm.read_text().split()[1])
    return pages * resource.getpagesize() / 2**30
