"""MLflow's database: is it sound, and one line where it cannot be used.

MLflow answers to a damaged file with a traceback of SQLAlchemy's, and to a lost disk with another.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path

from pipeline.troubles import disk_full
from programde.errors import ProgramDEError

#: How a database in a file is named.
SQLITE = "sqlite:///"
#: Said to whoever can make the record later.
LATER = "python -m pipeline.sweep --record"
#: Files that were found sound by this process.
_SOUND: set[Path] = set()


class RecordError(ProgramDEError):
    """MLflow's record cannot be read or written; the message is one line with the cure."""


def absolute(uri: str, root: Path) -> str:
    """A database beside the project, whatever folder we are in, and whatever its name."""
    if not uri.startswith(SQLITE) or uri.startswith(SQLITE + "/"):
        return uri
    path = root / uri.removeprefix(SQLITE)
    if "?" in str(root):  # what follows would be options: named from where we are
        path = Path(os.path.relpath(path))
    return f"{SQLITE}{path}"


def file_of(uri: str) -> Path | None:
    """The file of a database, None where it is none of SQLite's."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def check_database(uri: str) -> None:
    """See that a database in a file is whole, is MLflow's, and can be written to.

    Parameters
    ----------
    uri
        From `absolute`; nobody else is making it meanwhile.

    Raises
    ------
    RecordError
        It is not: says so, with the cure.
    """
    file = file_of(uri)
    if file is None or file in _SOUND:
        return
    if file.is_dir():
        raise RecordError(f"{file} is a folder: name another with tracking.uri=sqlite:///NAME.db")
    place = file if file.exists() else file.parent
    if place.exists() and not os.access(place, os.W_OK):
        raise RecordError(f"{place} cannot be written to: make it writable, or name another record")
    if file.exists() and file.stat().st_size:
        _check_content(file)
        _SOUND.add(file)


def _check_content(file: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=20)) as base:
            told = [row[0] for row in base.execute("PRAGMA quick_check(1)")]
            query = "SELECT name FROM sqlite_master WHERE type = 'table'"
            tables = {row[0] for row in base.execute(query)}
    except sqlite3.Error as error:
        told, tables = [str(error)], set()
    if told != ["ok"]:
        raise RecordError(damaged(file, told[0] if told else "no answer"))
    missing = {"experiments", "runs", "tags", "metrics", "params"} - tables
    if "alembic_version" in tables and missing:
        raise RecordError(damaged(file, f"it has no table {min(missing)}"))
    if tables and tables.isdisjoint({"alembic_version", "experiments"}):
        raise RecordError(
            f"{file} is a database, but none of MLflow's: name another with "
            "tracking.uri=sqlite:///NAME.db"
        )


def damaged(file: Path, why: str) -> str:
    """The line for a database that cannot be read."""
    return (
        f"{file}, MLflow's record of runs, is damaged ({' '.join(why.split())}): move it away, or "
        f"put a copy back; a new one is begun, and {LATER} enters what is computed"
    )


@contextlib.contextmanager
def recording(uri: str) -> Iterator[None]:
    """Let MLflow work without its remarks; where it fails, one line.

    Raises
    ------
    RecordError
        Any error of MLflow's, of the database or of the disk.
    """
    try:
        with _quiet():
            yield
    except (ProgramDEError, KeyError, TypeError):
        raise
    except Exception as error:
        if not _is_theirs(error):
            raise
        raise RecordError(_line(error, uri)) from None


def _is_theirs(error: Exception) -> bool:
    """Whether an error is one of MLflow, SQLAlchemy, a network or the system."""
    rooms = {cls.__module__.split(".")[0] for cls in type(error).__mro__}
    ours = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO)
    return bool(rooms & {"mlflow", "sqlalchemy", "sqlite3", "requests"}) or (
        isinstance(error, OSError) and error.errno in ours
    )


def _line(error: Exception, uri: str) -> str:
    words = " ".join(str(error).split())
    file = file_of(uri)
    if "disk is full" in words or "No space left" in words:
        return disk_full(file or uri)
    if "not a database" in words or "malformed" in words:
        return damaged(file or Path(uri), "it holds what is no database")
    if "database schema" in words or "Can't locate revision" in words:
        return (
            f"{file or uri} was made by another version of MLflow: keep a copy of it, then "
            f"`mlflow db upgrade {uri}`, or name another record with tracking.uri"
        )
    if file is not None:
        reason = words.split(" [SQL:")[0].split(" (Background")[0]
        return f"{file}, MLflow's record of runs, cannot be used: {reason}"
    return f"the record at {uri} cannot be used: {words[:300]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow without telemetry, and without its remarks: what fails is told by us."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
