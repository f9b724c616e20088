"""Threads of the libraries below: as many as were asked for, in this process at once."""

from __future__ import annotations

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
