"""What memory there is, and what this process has of it."""

from __future__ import annotations

import ctypes
import gc
import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch

CGROUPS = Path("/sys/fs/cgroup")


def free_memory(device: torch.device) -> int:
    """Bytes that this process may still take of the device."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by this process
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(min(int(lines["MemAvailable"].split()[0]) * 1024, left_in_cgroups()))
    except (OSError, KeyError):  # no Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def left_in_cgroups(own: Path = Path("/proc/self/cgroup"), mounted: Path = CGROUPS) -> float:
    """Bytes that the control groups of this process may still take, of version 1 or 2; infinite without one.

    What they have in the page cache of files counts as free: the system drops it when a process needs memory.
    """
    left = math.inf
    for folder, limit, usage, cached in _memory_groups(own, mounted):
        try:
            most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
            facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        left = min(left, most - used + sum(int(facts.get(name, 0)) for name in cached))
    return max(0, left)


def _memory_groups(own: Path, mounted: Path) -> Iterator[tuple[Path, str, str, tuple[str, ...]]]:
    """Folders of the process's groups and of those around them, and what their files are called."""
    first = "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")
    second = "memory.max", "memory.current", ("inactive_file", "active_file", "slab_reclaimable")
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield from (((each, *first)) for each in _upwards(mounted / "memory", path))
        elif not controllers:
            for root in (mounted, mounted / "unified"):
                yield from (((each, *second)) for each in _upwards(root, path))


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """The folder and those around it. Inside a container the path may be that of the machine; then the root counts."""
    folder = root / path.strip("/")
    yield folder
    while folder != root and root in folder.parents:
        folder = folder.parent
        yield folder


def memory_held() -> str:
    """What this process has of the main memory and of the GPU, for people."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # no Linux
        return "an unknown amount of memory"
    held = f"{in_units(pages * os.sysconf('SC_PAGE_SIZE'))} resident"
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        held += f" and {in_units(torch.cuda.memory_reserved())} of the GPU"
    return held


def in_units(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def give_back(device: torch.device) -> None:
    """Return to the system what this process holds and does not use."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library's
    if trim is not None:
        trim(0)
