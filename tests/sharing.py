"""What takes long to make is made once for all processes of a run of the tests."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def shared_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that all workers of this run see under the same path."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "shared" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def made_once(place: Path, make: Callable[[], object]) -> Path:
    """`place`, which `make()` fills where no process of this run has done it yet."""
    lock, done = place.with_name(f"{place.name}.lock"), place.with_name(f"{place.name}.done")
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        if not done.exists():
            make()
            done.touch()
    return place
