"""What the system does to a run, in one line with the cure: a full disk, no access, no memory."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from programde.errors import ProgramDEError

#: Bytes below which a disk is full.
LEAST = 100_000


class DiskFullError(ProgramDEError):
    """The disk is full; the message is one line, with what is free and what to do."""


def disk_full(path: Path | str, written: int = 0) -> str:
    """One line for a full disk: what was written to, what is free there, what to do.

    Parameters
    ----------
    path
        What was to be written.
    written
        Bytes of it that were written before the disk was full.
    """
    free = free_at(Path(path)) + written  # what was written is deleted again
    need = f" and it needs more than {_bytes(written)}" if written else ""
    return (
        f"{path}: no space left on the disk: {_bytes(free)} are free{need}; free some and run the "
        "same command again, which goes on where this one ended"
    )


def of_the_system(error: OSError, place: Path | str = "output") -> str | None:
    """What the user can cure of an error of the system, in one line; None for any other.

    Parameters
    ----------
    error
        A full disk, or a place that cannot be written to.
    place
        Where it was, for an error that does not say.
    """
    where = error.filename or place
    if is_full(error):
        return disk_full(where)
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{where}: {error.strerror}; make it yours to read and write, or use another place"
    return None


def told_by_the_system(error: BaseException, *places: Path) -> str | None:
    """The same for whatever came of an error of the system, or of a disk without room.

    Parameters
    ----------
    error
        It may have been raised from another.
    *places
        Where the work was; a disk with less than `LEAST` free is full, whatever was told. Of
        several the fullest is meant: whoever copies names what was read.
    """
    for cause in chain(error):
        if isinstance(cause, OSError):
            if is_full(cause):
                named = [Path(name) for name in (cause.filename, cause.filename2) if name]
                return disk_full(min([*named, *places], key=free_at))
            if (line := of_the_system(cause, places[0])) is not None:
                return line
    fullest = min(places, key=free_at)
    return disk_full(fullest) if free_at(fullest) < LEAST else None


def free_at(path: Path) -> int:
    """Bytes that are free where a path is, or would be."""
    folder = path.absolute()
    while not folder.is_dir():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came of."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


def is_full(error: OSError) -> bool:
    """Also where numpy or HDF5 say it in their own words."""
    words = str(error)
    told = "No space left" in words or ("requested and" in words and "written" in words)
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or told


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def killed() -> str:
    """One line for a stage that was killed: how much memory there is, and what takes less."""
    from programde.memory import free_memory, memory_there_is

    there, free = memory_there_is(), free_memory()
    figures = ", ".join(filter(None, [there, f"{_bytes(free)} are free now" if free else ""]))
    return (
        "killed by the system, most likely for want of memory"
        f"{f' ({figures})' if figures else ''}: set compute.n_jobs lower, take fewer cells or "
        "n_resamples, or allow it more"
    )
