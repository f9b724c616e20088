"""How much memory a run needs, known before it starts.

In bytes, for n cells, K programs, p covariates, D = K + p padded to a multiple of 16, G units, B
resamples and J threads:

    screen       16 n K + 8 n p                    usages and log-ratios, covariates
    population   28 n K + 24 n p + 4 n D           residuals or ranks, the same by program and in
                                                   float32 by batch (for exact tails), residuals
                                                   beside ranks, basis, covariates by batch, rows
    each thread   4 B D + 24 B K + 4 MB            sums, statistics, sorted z-scores
                + 128 n                            probabilities and weights of four units at a
                                                   time, for exact tails
    results     512 G K                            summaries of the draws, exact tails, shifts

Where units share control cells, n0 of them, these are held once:

    controls     36 n0 K + 12 n0 p + 4 n0 D        residuals, sorted values and ranks, covariates by
                                                   batch, rows

and every thread is given room for one population of a unit's own, with its copies, which some units
need; in general it takes a third of that, for ranks, rows and sorted summands.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from programde.errors import OptionError
from programde.executors import limits
from programde.memory import free_memory

#: What Python and the libraries take, in bytes.
BASE = 250e6


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that a run needs.

    Attributes
    ----------
    fixed
        Whatever the number of threads.
    per_thread
        For each thread.
    """

    fixed: float
    per_thread: float

    def total(self, n_threads: int) -> float:
        """Bytes with `n_threads` threads."""
        return self.fixed + self.per_thread * n_threads


def memory_need(
    n_cells: int,
    n_programs: int,
    n_covariates: int,
    n_units: int,
    n_resamples: int,
    *,
    own_cells: int | None = None,
) -> MemoryNeed:
    """Bytes that testing a screen needs, by the formula above.

    Parameters
    ----------
    n_cells, n_programs, n_covariates, n_units, n_resamples
        Sizes of the run.
    own_cells
        Cells of a typical unit against control cells; None where units share one population.
    """
    width = -(-(n_programs + n_covariates) // 16) * 16
    screen = n_cells * (16 * n_programs + 8 * n_covariates)
    thread = n_resamples * (4 * width + 24 * n_programs) + 4e6
    results = 512.0 * n_units * n_programs
    thread += 128.0 * (n_cells if own_cells is None else own_cells)
    if own_cells is None:
        shared = n_cells * (28 * n_programs + 24 * n_covariates + 4 * width)
        return MemoryNeed(BASE + screen + shared + results, thread)
    copies = own_cells * (44 * n_programs + 32 * n_covariates + 4 * width)
    shared = own_cells * (36 * n_programs + 12 * n_covariates + 4 * width)
    return MemoryNeed(BASE + screen + shared + results, thread + copies)


def fitting_cells(
    memory: float, n_programs: int, n_covariates: int, n_units: int, n_resamples: int
) -> int:
    """How many cells can share one population in so many bytes, with one thread."""
    sizes = (n_programs, n_covariates, n_units, n_resamples)
    none = memory_need(0, *sizes).total(1)
    million = memory_need(1_000_000, *sizes).total(1)
    return max(0, int((memory - none) / (million - none) * 1e6))


def fitting_threads(need: MemoryNeed, n_threads: int, free: float | None = None) -> int:
    """As many of `n_threads` threads as fit into the free memory.

    Parameters
    ----------
    need
        From `memory_need`.
    n_threads
        Threads asked for.
    free
        Bytes at hand; None asks the system.

    Raises
    ------
    OptionError
        If even one thread does not fit.
    """
    free = free_memory() if free is None else free
    if free is None or need.total(n_threads) <= free:
        return n_threads
    if need.total(1) > free:
        raise OptionError(
            f"the run needs about {need.total(1) / 1e9:,.1f} GB with one thread and "
            f"{free / 1e9:,.1f} GB are free; take fewer programs, cells or n_resamples, "
            "or a larger machine"
        )
    return max(1, int((free - need.fixed) // need.per_thread))


def workers_must_hold(need: MemoryNeed, executor: Executor) -> None:
    """Refuse what does not fit into the memory of an executor's workers, where that is known.

    Raises
    ------
    OptionError
        A worker has less; gives both figures.
    """
    for limit, n_threads in limits(executor):
        if limit is not None and need.total(n_threads) > limit:
            raise OptionError(
                f"each worker needs about {need.total(n_threads) / 1e9:,.1f} GB for its "
                f"{n_threads} threads and has {limit / 1e9:,.1f} GB; give them more "
                "(worker_memory), or fewer threads each"
            )
