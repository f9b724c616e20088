"""`compute` when other processes test: what each key asks for, and that no result depends on it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config.explain import compose_config
from pipeline.config.resolve import resolve
from pipeline.config.schema import register
from pipeline.stages import arguments
from pipeline.stages.entry import Options
from programde.crt import checkpoint
from programde.errors import OptionError

from .wires import TESTED, Runs
from .wiring import ROOT, call, digest, run_again

pytestmark = [pytest.mark.slow, pytest.mark.wiring]

#: Words of the command line -> what `programde.workers.cluster` is asked for.
DASK = {"executor": "dask"}
SLURM = {"executor": "slurm", "workers": 4, "worker_cores": 4, "worker_memory": "16GB",
         "walltime": "02:00:00"}  # fmt: skip
ASKED = {
    "executor": (("compute.executor=dask",), DASK),
    "scheduler": (("compute=dask", "compute.scheduler=tcp://h:8786"),
                  {**DASK, "scheduler": "tcp://h:8786"}),
    "workers": (("compute=dask", "compute.workers=3"), {**DASK, "workers": 3}),
    "worker_cores": (("compute=dask", "compute.worker_cores=2"), {**DASK, "worker_cores": 2}),
    "worker_memory": (("compute=dask", "compute.worker_memory=4GB"),
                      {**DASK, "worker_memory": "4GB"}),
    "dashboard": (("compute=dask", "compute.dashboard=:8787"), {**DASK, "dashboard": ":8787"}),
    "walltime": (("compute=slurm", "compute.walltime=1-00:00:00"),
                 {**SLURM, "walltime": "1-00:00:00"}),
    "partition": (("compute=slurm", "compute.partition=long"), {**SLURM, "partition": "long"}),
    "account": (("compute=slurm", "compute.account=lab"), {**SLURM, "account": "lab"}),
    "interface": (("compute=slurm", "compute.interface=ib0"), {**SLURM, "interface": "ib0"}),
}  # fmt: skip
WIRED = {f"compute.{key}" for key in ASKED} | {"compute=dask", "compute=slurm"}


@pytest.mark.parametrize("key", ASKED)
def test_what_is_asked_for(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words, wanted = ASKED[key]
    given = {}

    @contextlib.contextmanager
    def cluster(**keys):
        given.update({name: value for name, value in keys.items() if value is not None})
        yield "somebody"

    monkeypatch.setattr(arguments, "cluster", cluster)
    register()
    params = resolve(compose_config(ROOT / "conf", list(words)))
    with arguments.workers(Options(params, "crt")) as executor:
        assert executor == "somebody"
    assert given == wanted


def test_what_says_nothing_is_refused_when_it_is_composed() -> None:
    register()
    with pytest.raises(OptionError, match=r"compute\.workers=4 says nothing with executor=threads"):
        resolve(compose_config(ROOT / "conf", ["compute.workers=4"]))


def test_other_processes_change_no_result(
    bases: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    before, words = bases("whole")
    asked = []
    real = arguments.cluster

    @contextlib.contextmanager
    def cluster(**keys):
        with real(**keys) as executor:
            asked.append(executor)
            yield executor

    monkeypatch.setattr(arguments, "cluster", cluster)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp://",
        dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
    ) as there:  # fmt: skip
        after, changed = run_again(
            before.folder, tmp_path / "run",
            ("compute=dask", f"compute.scheduler={there.scheduler_address}"),
            compose_all=tuple(word for word in words if not word.startswith("compute")),
            always=True,
        )  # fmt: skip
    assert after.executed == TESTED
    assert len(asked) == 2
    assert all(executor is not None for executor in asked)
    assert changed == set()
    assert not list((tmp_path / "run/data").glob("checkpoint*"))


KILLED = """
import os, runpy, signal, sys
from programde.crt.checkpoint import Checkpoint
from programde.progress import Progress

Checkpoint.__init__.__defaults__ = (0.0,)

def advance(self, done=1, told=[]):
    told.append(done)
    if len(told) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

Progress.advance = advance
sys.argv = ["crt", "--params", "params.yaml"]
runpy.run_module("pipeline.stages.crt", run_name="__main__")
"""


def test_a_stage_that_was_killed_goes_on_where_it_was(
    bases: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = bases("whole")
    folder = tmp_path / "run"
    run_again(before.folder, folder, ())
    done = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=folder, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CI": "true"},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert list((folder / "data/checkpoint_crt").rglob("*.npz"))
    told: list[str] = []
    monkeypatch.setattr(checkpoint, "tell", told.append)
    call(folder, "crt")
    assert told
    assert all("targets were tested by a run that was stopped" in line for line in told)
    for name in ("data/crt", "reports/units.csv", "reports/guide_concordance.csv"):
        assert digest(folder / name) == digest(before.folder / name), name
    assert not (folder / "data/checkpoint_crt").exists()
