"""What the system grants this process: cores and memory of the machine, less what limits it.

A container or a job of a scheduler is a control group (cgroup, version 1 or 2) with a quota of
processor time and a limit of memory; so may be any group above it. A shell may limit address space
(``ulimit -v``). The figures of the machine alone would promise what is not to be had.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

#: Where groups are mounted, and where a process says which are its own.
MOUNT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
#: Above this a limit of memory is none.
UNLIMITED = 2.0**60


def core_count() -> int:
    """Cores that this process may use: those it may run on, or fewer by a quota; at least 1.

    Returns
    -------
    int
        A quota of two and a half cores gives three.
    """
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    cores = [own or os.cpu_count() or 1]
    for folder in groups("cpu"):
        quota = _numbers(folder / "cpu.max")  # version 2: quota and period, or max
        if len(quota) != 2:  # version 1
            quota = [
                *_numbers(folder / "cpu.cfs_quota_us"),
                *_numbers(folder / "cpu.cfs_period_us"),
            ]
        if len(quota) == 2 and quota[0] > 0 and quota[1] > 0:
            cores.append(math.ceil(quota[0] / quota[1]))
    return max(1, min(cores))


def group_memory() -> Iterator[tuple[float, float]]:
    """Limit and use in bytes of each control group that limits this process.

    Yields
    ------
    tuple of float
        What files take that could be read again does not count as used.
    """
    for folder in groups("memory"):
        for limit, used, prefix in (
            ("memory.max", "memory.current", ""),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
        ):
            top, now = _numbers(folder / limit), _numbers(folder / used)
            if top and now and top[0] < UNLIMITED:
                stat = folder / "memory.stat"
                files = sum(_stat(stat, f"{prefix}{kind}_file") for kind in ("active", "inactive"))
                yield top[0], max(0.0, now[0] - files)


def address_space() -> tuple[float, float] | None:
    """Limit of the shell and use in bytes of this process's addresses; None without a limit."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    except (ImportError, OSError, ValueError):
        return None
    if limit == resource.RLIM_INFINITY:
        return None
    pages = _numbers(Path("/proc/self/statm"))
    return float(limit), pages[0] * os.sysconf("SC_PAGE_SIZE") if pages else 0.0


def groups(controller: str) -> Iterator[Path]:
    """Folders of the control groups that this process is in, its own and those above it."""
    try:
        lines = OWN.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, names, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not names:
            mounts = [MOUNT, MOUNT / "unified"]
        elif controller in names.split(","):
            mounts = list(dict.fromkeys([MOUNT / controller, MOUNT / names]))
        else:
            continue
        own = Path(path.lstrip("/"))
        for mount in mounts:
            # seen from within a container, its own group may be what is mounted
            yield from (mount / one for one in (own, *own.parents) if (mount / one).is_dir())


def _numbers(file: Path) -> list[float]:
    """Numbers of a small file; none where it is not there or says something else."""
    try:
        return [float(word) for word in file.read_text(encoding="ascii").split()]
    except (OSError, ValueError):
        return []


def _stat(file: Path, name: str) -> float:
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    found = [float(line.split()[1]) for line in lines if line.split()[:1] == [name]]
    return found[0] if found else 0.0
