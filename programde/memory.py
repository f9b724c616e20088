"""How much memory there is, asked before something large is made of it."""

from __future__ import annotations

import os

from programde.errors import InputError


def free_memory() -> float | None:
    """Bytes that can be had without swapping, or None where the system does not say."""
    candidates = []
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    candidates.append(float(line.split()[1]) * 1024)
    except OSError:
        pass
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            with open(limit, encoding="ascii") as top, open(used, encoding="ascii") as now:
                candidates.append(float(top.read()) - float(now.read()))
        except (OSError, ValueError):
            continue
    if not candidates and hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        candidates.append(float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE"))
    return min(candidates) if candidates else None


def must_fit(what: str, need: float) -> None:
    """Refuse what does not fit into the free memory.

    Parameters
    ----------
    what
        What needs it, as the message begins.
    need
        Bytes.

    Raises
    ------
    InputError
        Less is free; gives both figures.
    """
    free = free_memory()
    if free is not None and need > free:
        raise InputError(
            f"{what} needs about {need / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; take fewer "
            "cells or programs, or a larger machine"
        )
