"""Threads of the libraries below: as many as were asked for, in this process at once."""

from __future__ import annotations

from threading import Event

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from programde import threads


def test_libraries_that_are_loaded_already_obey(monkeypatch):
    for variable in threads.VARIABLES:
        monkeypatch.setenv(variable, "2")
    monkeypatch.setattr(threads, "_LIMITS", [])
    with threadpool_limits(limits=2):
        assert threadpool_info()
        threads.limit_threading(1)
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}


@pytest.mark.parametrize("cores", [1, 2, 3, 64])
def test_parts_come_in_order_and_few_are_made_ahead(monkeypatch, cores):
    monkeypatch.setattr(threads, "core_count", lambda: cores)
    asked, gone = [], Event()

    def parts():
        for part in range(12):
            asked.append(part)
            yield part

    def work(part):
        if part == 0 and cores > 1:
            assert gone.wait(20)  # a later one is done first
        if part == 1:
            gone.set()
        return part * part

    ahead = []
    for made in threads.in_order(work, parts()):
        ahead.append(len(asked) - made**0.5)
        assert made == len(ahead[:-1]) ** 2
    assert max(ahead) <= (1 if cores == 1 else min(cores, threads.AT_ONCE) + 1)


@pytest.mark.parametrize("cores", [1, 2])
def test_what_a_part_raises_is_raised(monkeypatch, cores):
    monkeypatch.setattr(threads, "core_count", lambda: cores)
    found = threads.in_order(lambda part: 1 // part, [1, 1, 0, 1])
    assert [next(found), next(found)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(found)
