"""Pieces of work shared out to forks of this process, one for each core.

A picture takes a tenth of a second or two of one core, a hundred thousand rows of CSV seven. A fork
has all that is loaded and at hand, so that nothing is handed over but what comes back.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import TypeVar

from programde.limits import core_count

T = TypeVar("T")
R = TypeVar("R")


def shared_out(work: Callable[[T], R], items: Sequence[T], processes: int | None = None) -> list[R]:
    """The results of `work`, in the order of `items`.

    Parameters
    ----------
    work
        What is done to one item. Its result and its warnings are sent to this process.
    items
        Dealt out in turns.
    processes
        How many, this one among them; None: one for each core where forks are safe (Linux, and
        no other thread in this process), else this one alone.

    Returns
    -------
    list
        As ``[work(item) for item in items]``. What a fork could not do is done here.
    """
    if processes is None:
        alone = sys.platform != "linux" or threading.active_count() > 1
        processes = 1 if alone else core_count()
    n = max(1, min(processes, len(items)))
    answers = [_forked(work, items[number::n]) for number in range(1, n)]
    found: dict[int, R] = {place: work(items[place]) for place in range(0, len(items), n)}
    for number, answer in enumerate(answers, start=1):
        share = range(number, len(items), n)
        results: list[R] | None = _received(answer)
        if results is None:
            results = [work(items[place]) for place in share]
        found |= dict(zip(share, results, strict=True))
    return [found[place] for place in range(len(items))]


def _forked(work: Callable[[T], R], share: Sequence[T]) -> Connection | None:
    """Begin a share in a fork; where its answer comes from, None where there is no fork."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)

    def begin() -> None:
        here.close()  # or its own end would keep it waiting for a reader that was killed
        with warnings.catch_warnings(record=True) as told:
            results = [work(item) for item in share]
        there.send((results, [(one.message, one.category) for one in told]))

    try:
        with warnings.catch_warnings():  # of threads: no Python thread is running, others see to it
            warnings.simplefilter("ignore", DeprecationWarning)
            context.Process(target=_quietly, args=(begin,), daemon=True).start()
    except OSError:  # no memory, or no more processes
        here.close()
        return None
    finally:
        there.close()
    return here


def _quietly(begin: Callable[[], None]) -> None:
    """Whatever a fork cannot do is done, and told, by who started it."""
    with contextlib.suppress(BaseException):
        begin()


def _received(answer: Connection | None) -> list[R] | None:
    """A fork's results, None where it ended without; what it warned of is told here."""
    if answer is None:
        return None
    with answer:
        try:
            results, told = answer.recv()
        except (EOFError, OSError):
            return None
    for message, category in told:
        warnings.warn_explicit(message, category, __file__, 1)
    return results
