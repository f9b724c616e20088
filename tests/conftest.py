"""Before tests in several processes the kernels are compiled once, for all of them.

What Python compiles is kept as well, whatever the machine says: rewriting the asserts of all test
files takes longer than collecting them, in every process and in every run. Python looks for
circles of objects seldom, and never among what the libraries hold, which is most.
"""

from __future__ import annotations

import fcntl
import gc
import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from programde.limits import core_count

ROOT = Path(__file__).parents[1]
#: What the kernels on disk were made of.
MADE = ROOT / "programde" / "__pycache__" / "kernels.made"

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
gc.set_threshold(50_000, 20, 20)


def made_of() -> str:
    """A hash of all that kernels are made of: our files that hold some, and this Python."""
    digest = hashlib.blake2b(sys.version.encode(), digest_size=16)
    for path in sorted((ROOT / "programde").rglob("*.py")):
        content = path.read_bytes()
        if b"import njit" in content:
            digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker more than cores: slow tests wait for processes that they started."""
    return core_count() + (config.option.markexpr != "not slow")


def pytest_configure(config: pytest.Config) -> None:
    """Compile before workers start; each would compile the same otherwise."""
    workers = getattr(config.option, "numprocesses", None)
    if hasattr(config, "workerinput") or not workers:
        return
    MADE.parent.mkdir(exist_ok=True)
    with MADE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = made_of()
        if MADE.is_file() and MADE.read_text() == wanted:
            return
        command = [sys.executable, str(ROOT / "scripts" / "compile_kernels.py")]
        # one sampler to a process: what both need is compiled by whichever comes first; the path,
        # since on the oldest and newest versions the package is not installed
        found = os.environ | {"PYTHONPATH": str(ROOT)}
        both = [
            subprocess.Popen([*command, sampler], cwd=ROOT, env=found)
            for sampler in ("bernoulli_index", "stratified_perm")
        ]
        statuses = [process.wait() for process in both]
        if not any(statuses):
            MADE.write_text(wanted)


def pytest_collection_finish() -> None:
    """What has been loaded by now stays."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _logging_as_found() -> Iterator[None]:
    """Hydra and DVC set up logging for a process of their own; the next test has none of it."""
    loggers = [logging.getLogger(name) for name in (None, "hydra", "dvc")]
    before = [(logger, list(logger.handlers), logger.level) for logger in loggers]
    yield
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
