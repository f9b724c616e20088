"""Work shared out to forks: the same results in the same order, and nothing lost."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from programde.errors import ProgramDEWarning
from programde.forks import shared_out

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are used on Linux alone")


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("processes", [1, 2, 3, 9])
def test_results_have_the_order_of_the_items(processes: int) -> None:
    found = shared_out(lambda number: (number**2, os.getpid()), range(7), processes)
    assert [square for square, _ in found] == [number**2 for number in range(7)]
    assert len({process for _, process in found}) == min(processes, 7)
    assert shared_out(str, [], processes) == []


def test_a_thread_beside_keeps_the_work_here() -> None:
    import threading

    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        assert set(shared_out(lambda _: os.getpid(), range(4))) == {os.getpid()}
    finally:
        over.set()
        thread.join()


def test_what_a_fork_warns_of_is_told_here() -> None:
    def work(item: str) -> str:
        warnings.warn(f"{item} was changed", ProgramDEWarning, stacklevel=1)
        return item

    with pytest.warns(ProgramDEWarning) as told:
        assert shared_out(work, ["a", "b"], 2) == ["a", "b"]
    assert sorted(str(one.message) for one in told) == ["a was changed", "b was changed"]


@pytest.mark.slow
@pytest.mark.brief
def test_what_a_fork_cannot_do_is_done_here() -> None:
    here = os.getpid()

    def work(item: int) -> int:
        if os.getpid() != here:
            os.kill(os.getpid(), 9)
        return item

    assert shared_out(work, [0, 1, 2], 3) == [0, 1, 2]

    def refuses(item: int) -> int:
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 0"):
        shared_out(refuses, [0, 1], 2)


def test_a_fork_ends_with_who_started_it(tmp_path: Path) -> None:
    """Killed, it takes no more answers: a fork that waited for it would stay for ever."""
    started = (tmp_path / "one", tmp_path / "two")

    def work(item: int) -> bytes:
        started[item].write_text(str(os.getpid()))
        while not (tmp_path / "go").exists():
            time.sleep(0.01)
        return bytes(1 << 20)  # more than a pipe holds

    stage = os.fork()
    if not stage:
        shared_out(work, [0, 1], 2)
        os._exit(0)
    until(lambda: all(file.is_file() and file.read_text() for file in started))
    os.kill(stage, 9)
    os.waitpid(stage, 0)
    (tmp_path / "go").touch()
    fork = int(started[1].read_text())
    until(lambda: not psutil.pid_exists(fork) or psutil.Process(fork).status() == "zombie")


def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come")
