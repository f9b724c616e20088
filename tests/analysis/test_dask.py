"""Tests by workers of Dask, processes of this machine: what threads give, whatever befalls them.

One cluster serves all tests of the file, but for the one that ends a scheduler.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time

import pytest

from programde import workers
from programde.analysis.targets import run_targets
from programde.crt.options import RunOptions
from programde.crt.samplers import Bernoulli
from programde.crt.statistics import OLS
from programde.errors import InputError, OptionError, ProgramDEError
from programde.progress import Progress
from programde.screen.store import load_screen, save_screen
from programde.workers import cluster
from tests.analysis.killing import Deadly
from tests.crt.same_bytes import assert_same_bytes
from tests.crt.small import screen_of

psutil = pytest.importorskip("psutil", reason="psutil is not installed (extra `pipeline`)")
pytest.importorskip("distributed", reason="Dask is not installed (extra `cluster`)")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # of Dask's own connections, which die here
]

NTC = {"ntc_labels": "NTC"}
OPTIONS = RunOptions(OLS(), Bernoulli(), n_resamples=49, progress=False, min_treated=2)


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    made = screen_of(n=1500, k=4, n_targets=90, n_ntc=30, n_batches=2, one_guide=True, zeros=0.1)
    folder = tmp_path_factory.mktemp("dask") / "screen"
    save_screen(made, folder)
    return load_screen(folder)


@pytest.fixture(scope="module")
def by_threads(screen):
    return run_targets(screen, OPTIONS, **NTC)


@pytest.fixture(scope="module")
def executor():
    with cluster(workers=2, worker_memory="2GB") as made:
        yield made


def pids(executor) -> list[int]:
    """Processes of the workers, once there are two."""
    client = executor._client
    for _ in range(600):
        with contextlib.suppress(OSError):  # one of them just went
            found = list(client.run(os.getpid).values())
            if len(found) == 2 and all(psutil.pid_exists(pid) for pid in found):
                return found
        time.sleep(0.1)
    pytest.fail("there are no two workers")


def test_the_bytes_of_threads_also_where_workers_are_killed(
    screen, by_threads, executor, monkeypatch
):
    killed: list[int] = []

    def advance(self, done=1):
        if len(killed) < 2:
            killed.append(pids(executor)[0])
            os.kill(killed[-1], signal.SIGKILL)

    monkeypatch.setattr(Progress, "advance", advance)
    assert_same_bytes(run_targets(screen, OPTIONS, executor=executor, **NTC), by_threads)
    assert len(killed) == 2
    assert not set(killed) & set(pids(executor))


def test_all_of_it_listens_on_this_machine_alone(executor):
    pids(executor)
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # one that was killed before
            connections = process.net_connections()
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in ("127.0.0.1", "::1")


def test_a_worker_of_another_version_is_refused(screen, executor):
    def become(version: str) -> None:
        import programde.crt.elsewhere as there

        there.__version__ = version
        there._OPENED.clear()

    pids(executor)
    executor._client.run(become, "0.0.1")
    try:
        with pytest.raises(
            InputError, match=r"programDE 0.0.1 is installed on the worker .*: all must have the"
        ):
            run_targets(screen, OPTIONS, executor=executor, **NTC)
    finally:
        from programde import __version__

        executor._client.run(become, __version__)


def test_too_little_memory_is_told_before_and_a_worker_that_dies_of_it_is(
    screen, executor, monkeypatch
):
    many = RunOptions(OLS(), Bernoulli(), n_resamples=10**8, progress=False)
    with pytest.raises(
        OptionError, match=r"each worker needs about [\d,.]+ GB for its 1 threads and has 2.0 GB"
    ):
        run_targets(screen, many, executor=executor, **NTC)
    pids(executor)
    monkeypatch.setattr(executor._client.cluster.scheduler, "allowed_failures", 0)
    deadly = RunOptions(Deadly(), Bernoulli(), n_resamples=0, progress=False)
    with pytest.raises(
        ProgramDEError,
        match=r"killed each worker .* too little memory .*\(while testing T1\); 0 of 1 units were",
    ):
        run_targets(screen, deadly, executor=executor, targets=["T1"], **NTC)


def test_a_scheduler_that_is_gone(screen, by_threads, tmp_path, monkeypatch):
    from distributed import LocalCluster
    from distributed.core import Status

    made = LocalCluster(
        n_workers=1, processes=False, protocol="tcp://", threads_per_worker=1,
        dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
    )  # fmt: skip
    address = made.scheduler_address

    def advance(self, done=1):
        if made.scheduler.status.name == "running":
            made.sync(made.scheduler.close, reason="it is killed")

    try:
        monkeypatch.setattr(Progress, "advance", advance)
        kept = tmp_path / "kept"
        with cluster(scheduler=address) as executor, pytest.raises(ProgramDEError) as caught:
            run_targets(screen, OPTIONS, executor=executor, checkpoint=kept, **NTC)
        assert f"the scheduler {address} is gone" in str(caught.value)
        assert "of 90 units were done and are kept: run the same again" in str(caught.value)
        with pytest.warns(UserWarning, match="of 90 targets were tested by a run that was stopped"):
            again = run_targets(screen, OPTIONS, checkpoint=kept, **NTC)
        assert_same_bytes(again, by_threads)
        monkeypatch.setattr(workers, "ANSWER", 0.5)
        with (
            pytest.raises(InputError, match=f"no Dask scheduler answers at {address}"),
            cluster(scheduler=address),
        ):
            pass
    finally:
        with contextlib.suppress(Exception):  # half of it is gone
            made.close(timeout=1)
        made.status = Status.closed  # it warns else when it is collected, in some other test
