"""The conditional randomization test of many units: blocks of them, shared out to who tests them.

Here these are threads, which read the same arrays (the compiled kernels release the GIL); elsewhere
the processes of an executor (`crt.elsewhere`). Finished blocks may be kept on the way
(`crt.checkpoint`). A unit's result depends on (seed, unit name) and its population alone, and that
of a block (`crt.unit_blocks`) has the same bytes whoever tests it.

Memory: `programde.crt.memory_need`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

from programde.crt.checkpoint import Kept
from programde.crt.null_summary import NullSummary
from programde.crt.options import RunOptions
from programde.crt.prepared import PreparedPopulation
from programde.crt.results import CRTResult, Part, ResultTable
from programde.crt.tasks import AnyTask, Deferred, Later, Task
from programde.crt.unit_blocks import Block, Watcher, blocks_of
from programde.errors import ProgramDEError, some
from programde.progress import Progress
from programde.threads import worker_count


class Elsewhere(Protocol):
    """Who tests blocks, where it is not threads of this process."""

    def submit(self, number: int, block: Block) -> Future[Part]:
        """Ask for a block by its number."""

    def ahead(self) -> int:
        """How many blocks are to be asked for before the first is there."""

    def explained(self, error: BaseException) -> str:
        """One line on an error that is not the block's own; empty for others."""


def run_tasks(
    tasks: Iterable[AnyTask],
    names: Sequence[str],
    programs: Sequence[str],
    options: RunOptions,
    watch: Watcher | None = None,
    label: str = "testing",
    condition: Sequence[str] | None = None,
    *,
    elsewhere: Elsewhere | None = None,
    kept: Kept | None = None,
) -> CRTResult:
    """Test units in their populations.

    Parameters
    ----------
    tasks
        Which units in which population; consumed as workers become free, so that populations may
        be made on the way.
    names : G names
        Rows of the result.
    programs : K names
        Columns of the result.
    options
        How to test.
    watch
        Called with each tested unit's law, from threads.
    label
        Label of the progress bar.
    condition : G strings, optional
        Level in whose cells each row is tested.
    elsewhere
        Who tests; None for threads of this process.
    kept
        Where finished blocks are kept, and what was kept before.

    Returns
    -------
    CRTResult

    Raises
    ------
    ProgramDEError
        Something that the user can cure; the line names the units that were being tested. Other
        errors get a note that does.
    """
    from threadpoolctl import threadpool_limits

    table = ResultTable(
        list(names),
        list(programs),
        options.n_resamples,
        list(condition or [""] * len(names)),
        options.tails,
        options.shifts,
    )
    workers = worker_count(options.n_jobs)
    with (
        threadpool_limits(limits=1),
        Progress(len(table.units), label, options.progress) as progress,
        ThreadPoolExecutor(max_workers=workers) as pool,
    ):
        done = _Done(table, progress, kept)
        running: dict[Future[Part], Block] = {}
        try:
            for number, block in enumerate(blocks_of(tasks, options, watch)):
                if done.has(block):
                    continue
                if elsewhere is None:
                    future = pool.submit(_tested, block, table)
                else:
                    future = _asked(elsewhere, number, block, done)
                running[future] = block
                # two blocks ahead per worker keep all busy and bound what is held in memory
                while len(running) >= (elsewhere.ahead() if elsewhere else 2 * workers):
                    _collect(running, done, elsewhere)
            while running:
                _collect(running, done, elsewhere)
        except BaseException:
            for future in running:
                future.cancel()
            done.flush()
            raise
    return table.result()


class _Done:
    """What is finished."""

    def __init__(self, table: ResultTable, progress: Progress, kept: Kept | None) -> None:
        self.table = table
        self._progress = progress
        self._kept = kept
        self._rows: set[int] = set()
        for part in kept.parts() if kept is not None else ():
            self._put(part)

    def has(self, block: Block) -> bool:
        """Whether a block was finished before."""
        return bool(self._rows) and self._rows.issuperset(block.rows)

    def add(self, part: Part) -> None:
        """Store what a block gave."""
        self._put(part)
        if self._kept is not None:
            self._kept.add(part)

    def _put(self, part: Part) -> None:
        self.table.put(part)
        self._rows.update(part["rows"])
        self._progress.advance(len(part["rows"]))

    def flush(self) -> None:
        """See that what is to be kept is on disk."""
        if self._kept is not None:
            self._kept.flush()

    def said(self) -> str:
        """How far it went, and how to go on."""
        so_far = f"{len(self._rows):,} of {len(self.table.units):,} units were done"
        if self._kept is None:
            return f"{so_far} and are lost; with checkpoint=FOLDER they would be kept"
        return f"{so_far} and are kept: run the same again, and it goes on from there"


def _tested(block: Block, table: ResultTable) -> Part:
    """What a block gives, in a thread of this process."""
    mine = table.block(block.rows)
    block.test(mine)
    return mine.part()


def _asked(elsewhere: Elsewhere, number: int, block: Block, done: _Done) -> Future[Part]:
    try:
        return elsewhere.submit(number, block)
    except Exception as error:
        why = elsewhere.explained(error)
        if why:
            raise ProgramDEError(f"{why}; {done.said()}") from error
        raise


def _collect(running: dict[Future[Part], Block], done: _Done, elsewhere: Elsewhere | None) -> None:
    """Wait for a block, and store what is there."""
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    failed: tuple[BaseException, Block] | None = None
    for future in finished:
        block = running.pop(future)
        try:
            part = future.result()
        except BaseException as error:
            failed = failed or (error, block)
        else:
            done.add(part)
    if failed is None:
        return
    cause, block = failed
    names = [done.table.units[row] for row in block.rows]
    testing = f"while testing {some(names)}"
    why = elsewhere.explained(cause) if elsewhere is not None else ""
    if why:
        raise ProgramDEError(f"{why} ({testing}); {done.said()}") from cause
    if isinstance(cause, ProgramDEError):
        raise type(cause)(f"{cause} ({testing})") from cause
    cause.add_note(testing)
    raise cause


__all__ = [
    "AnyTask",
    "Block",
    "CRTResult",
    "Deferred",
    "Later",
    "NullSummary",
    "PreparedPopulation",
    "RunOptions",
    "Task",
    "Watcher",
    "run_tasks",
]
