"""How much memory there is, asked before something large is made of it."""

from __future__ import annotations

import os
import re

from programde.errors import InputError, OptionError

#: Share of the free memory that is taken where no more is said.
SHARE = 0.5
_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


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


def memory_bytes(memory: float | str) -> float:
    """An amount of memory in bytes.

    Parameters
    ----------
    memory
        Bytes, or a text such as ``"4GB"``, ``"500 MB"``.

    Raises
    ------
    OptionError
        It is none, or not above 0.

    Examples
    --------
    >>> memory_bytes("1.5 GB")
    1500000000.0
    """
    found = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?)i?b?\s*", str(memory).lower())
    try:
        amount = float(found.group(1)) * _UNITS[found.group(2)] if found else 0.0
    except ValueError:
        amount = 0.0
    if not amount > 0:
        raise OptionError(f"memory={memory!r} is no amount of memory; write 4GB, for example")
    return amount


def budget(memory: float | str | None) -> float | None:
    """Bytes that may be used: those given, or half of what is free; None where nobody knows."""
    if memory is not None:
        return memory_bytes(memory)
    free = free_memory()
    return None if free is None else SHARE * free


def resident() -> float:
    """Bytes of memory that this process holds now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as numbers:
            return float(numbers.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0.0
