"""How much memory there is, asked before something large is made of it."""

from __future__ import annotations

import os
import re

from programde.errors import InputError, OptionError
from programde.limits import address_space, group_memory

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
    candidates += [limit - used for limit, used in group_memory()]
    if (shell := address_space()) is not None:
        candidates.append(shell[0] - shell[1])
    if not candidates and hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        candidates.append(float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE"))
    return max(0.0, min(candidates)) if candidates else None


def memory_there_is() -> str:
    """The memory that this process may have, in words, by its tightest limit; empty if unknown."""
    found = [(limit, "the limit of this container or job") for limit, _ in group_memory()]
    if (shell := address_space()) is not None:
        found.append((shell[0], "the limit of this shell (ulimit -v)"))
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        whole = float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
        found.append((whole, "what this machine has"))
    if not found:
        return ""
    limit, name = min(found)
    return f"{limit / 1e9:.1f} GB is {name}"


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
        Bytes, or a text such as ``"4GB"``, ``"500 MB"``; infinity for no limit.

    Raises
    ------
    OptionError
        It is none, or not above 0.

    Examples
    --------
    >>> memory_bytes("1.5 GB")
    1500000000.0
    """
    if memory == float("inf"):
        return float("inf")
    found = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?)i?b?\s*", str(memory).lower())
    try:
        amount = float(found.group(1)) * _UNITS[found.group(2)] if found else 0.0
    except ValueError:
        amount = 0.0
    if not amount > 0:
        raise OptionError(f"memory={memory!r} is no amount of memory; write 4GB, for example")
    return amount


def budget(memory: float | str | None) -> float | None:
    """Bytes that a process may use in all: those given, or half of what is free; None: unknown.

    What it holds counts as free, so that the last part of a run is given what the first was.
    """
    if memory is not None:
        return memory_bytes(memory)
    free = free_memory()
    return None if free is None else SHARE * (free + own_memory())


def reading_budget(memory: float | str | None) -> float | None:
    """Bytes that what is read may take: those given, or half of what is free; None: unknown."""
    if memory is not None:
        return memory_bytes(memory)
    free = free_memory()
    return None if free is None else SHARE * free


def resident() -> float:
    """Bytes of memory that this process holds now; 0 where the system does not say."""
    return _pages()[0]


def own_memory() -> float:
    """The same without pages of files, which the system may take back; 0 where it does not say."""
    held, of_files = _pages()
    return max(0.0, held - of_files)


def _pages() -> tuple[float, float]:
    """Bytes of pages in memory, and of those that are pages of files."""
    try:
        with open("/proc/self/statm", encoding="ascii") as numbers:
            held, of_files = numbers.read().split()[1:3]
    except (OSError, ValueError):
        return 0.0, 0.0
    size = os.sysconf("SC_PAGE_SIZE")
    return float(held) * size, float(of_files) * size
