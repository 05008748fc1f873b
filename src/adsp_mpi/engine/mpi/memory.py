"""Whether there is memory for a window: what this node and the control groups of this process have left. Linux only."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from adsp_mpi.engine.mpi.window.layout import Offsets
from adsp_mpi.errors import must
from adsp_mpi.updates.payload.codec import Codec

GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def check_room(n_workers: int, codec: Codec, n_slots: int = 1) -> None:
    """Refuse a window that shared memory cannot hold; touching it would end in a bus error.

    Raises
    ------
    ConfigError
        if there is too little
    """
    size_bytes = codec.n_parameters * codec.dtype.itemsize
    needed = Offsets(n_workers, size_bytes, codec.capacity_bytes, n_slots).total
    free = free_memory()
    place = min(free, key=lambda name: free[name])
    if free[place] < needed:
        rule = f"<= {free[place] / 1e6:.0f} MB, what is free in {place}: use fewer workers or a smaller model"
        raise must("size of the window", rule, f"{needed / 1e6:.0f} MB")


def free_memory() -> dict[str, int]:
    """Return how many bytes are free, by place, on this node and for this process's control group."""
    free = {"memory": _available_memory()}
    if Path("/dev/shm").is_dir():
        free["/dev/shm"] = shutil.disk_usage("/dev/shm").free
    return free


def _available_memory() -> int:
    """Return the bytes that can be used without swapping, at most what the control groups allow in all."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    available = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    limits = (*cgroup_files("memory.max", "memory"), *cgroup_files("memory.limit_in_bytes", "memory"))
    return min([available, *(int(limit) for limit in limits if limit != "max")])


def cgroup_files(name: str, controller: str) -> Iterator[str]:
    """Yield what a file says in each control group of this process that has it, innermost first; versions 1 and 2."""
    for line in OWN_GROUPS.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = GROUPS / (controller if controllers else "")
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root) and (folder / name).is_file():
                yield (folder / name).read_text(encoding="utf-8").strip()
