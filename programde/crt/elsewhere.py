"""Blocks of units tested by other processes, here or on other machines.

A process gets the path of a file that tells the study, and the number of a block; it reads the
study once, plans it as the driver does, and sends the block's rows back: some hundred bytes out,
some hundred bytes a test back. It refuses to work where it is of another version, or a file is not
the one that was meant.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

from programde import __version__
from programde.array_files import read, write
from programde.crt.results import Part, ResultTable
from programde.crt.study import Study
from programde.crt.unit_blocks import Block, blocks_of
from programde.errors import InputError
from programde.executors import address, n_workers, why_gone
from programde.stamps import code_stamp
from programde.threads import limit_threading

#: Studies that a process holds, and what is prepared of one for several blocks, at most.
STUDIES, PREPARED = 2, 2
#: Seconds until it is asked again how many workers there are.
ASKED = 2.0


@dataclass(frozen=True)
class Job:
    """A study, as a worker is told of it.

    Attributes
    ----------
    file
        Where it is written.
    version, code
        The package that wrote it.
    """

    file: str
    version: str
    code: str


class OnWorkers:
    """Blocks of a study handed to an executor.

    Parameters
    ----------
    study
        What is tested.
    executor
        Who tests.
    folder
        Where the study is written; all workers must see it.
    """

    def __init__(self, study: Study, executor: Executor, folder: Path) -> None:
        file = write(study.slim(), folder.resolve())
        self._executor = executor
        self._job = Job(str(file), __version__, code_stamp())
        self._address = address(executor)
        self._workers, self._asked = n_workers(executor), time.monotonic()

    def submit(self, number: int, block: Block) -> Future[Part]:
        """Ask for a block."""
        return self._executor.submit(run_block, self._job, number, block.rows)

    def ahead(self) -> int:
        """Two blocks ahead per worker keep all busy; workers come and go."""
        if time.monotonic() - self._asked > ASKED:
            self._workers = n_workers(self._executor, self._workers)
            self._asked = time.monotonic()
        return 2 * self._workers + 2

    def explained(self, error: BaseException) -> str:
        """Why the executor cannot go on; empty for an error of the block itself."""
        return why_gone(self._executor, error, self._address)


class _Opened:
    """A study that this process works on."""

    def __init__(self, job: Job) -> None:
        if (job.version, job.code) != (__version__, code_stamp()):
            what = f"programDE {__version__}"
            if job.version == __version__:
                what = f"other code of programDE {__version__}, or another numpy,"
            raise InputError(
                f"{what} is installed on the worker {platform.node()} (process {os.getpid()}), and "
                f"{job.version} where the run was started: all must have the same"
            )
        limit_threading(1)
        self.study: Study = read(Path(job.file))
        self._blocks: Iterator[Block] = blocks_of(self.study.tasks(), self.study.options)
        self._found: list[Block] = []
        self._used: list[object] = []
        self._finding = threading.Lock()

    def block(self, number: int) -> Block:
        """A block by its number; what other blocks had in common is let go after a while."""
        with self._finding:
            while len(self._found) <= number:
                self._found.append(next(self._blocks))
            block = self._found[number]
            if block.shared is not None and block.shared not in self._used:
                self._used.append(block.shared)
                for old in self._used[:-PREPARED]:
                    old.forget()  # type: ignore[attr-defined]
                self._used = self._used[-PREPARED:]
            return block


_OPENED: OrderedDict[Job, _Opened] = OrderedDict()
_OPENING = threading.Lock()


def run_block(job: Job, number: int, rows: list[int]) -> Part:
    """What a worker does: one block.

    Raises
    ------
    InputError
        The package or a file is not the one that was meant.
    """
    with _OPENING:
        if job not in _OPENED:
            _OPENED[job] = _Opened(job)
            while len(_OPENED) > STUDIES:
                _OPENED.popitem(last=False)
        _OPENED.move_to_end(job)
        opened = _OPENED[job]
    study, block = opened.study, opened.block(number)
    if block.rows != rows:
        raise InputError(f"block {number} of {job.file} is another one here; run it anew")
    how = study.options
    table = ResultTable(
        study.names, study.programs, how.n_resamples, study.conditions, how.tails, how.shifts, rows,
    )  # fmt: skip
    block.test(table)
    return table.part()


__all__ = ["Job", "OnWorkers", "run_block"]
