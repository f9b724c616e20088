"""Which workers a configuration asks for; that of SLURM against a queue of a few lines of shell."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from programde.analysis.targets import run_targets
from programde.crt.options import RunOptions
from programde.crt.samplers import Bernoulli
from programde.crt.statistics import OLS
from programde.errors import InputError, OptionError
from programde.workers import Workers, _deaf_to_interrupts, cluster
from tests.crt.same_bytes import assert_same_bytes
from tests.crt.small import screen_of


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"executor": "mpi"}, "executor=mpi is not known; valid: threads, dask, slurm"),
        ({"workers": 0}, "workers=0"),
        ({"workers": 4}, "workers=4 says nothing with executor=threads; it belongs to dask"),
        ({"walltime": "1:00"}, "walltime=1:00 says nothing with executor=threads.* to slurm"),
        ({"executor": "dask", "partition": "long"}, "partition=long says nothing .* to slurm"),
        ({"executor": "dask", "scheduler": "here"}, "scheduler=here is no address such as tcp:"),
        ({"executor": "dask", "scheduler": "tcp://h:1", "workers": 2}, "workers is for workers .*"
         "those of scheduler=tcp://h:1 are there already"),
        ({"executor": "slurm"}, "executor=slurm needs worker_memory, such as worker_memory=16GB"),
        ({"executor": "slurm", "worker_memory": "1GB", "walltime": "soon"}, "walltime=soon is no"),
        ({"executor": "slurm", "scheduler": "tcp://h:1"}, "scheduler=tcp://h:1 says nothing"),
    ],
)  # fmt: skip
def test_keys_that_say_nothing_are_refused(keys, line):
    with pytest.raises(OptionError, match=line):
        Workers(**keys)


def test_threads_need_no_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with cluster(executor="threads") as executor:
        assert executor is None
    with (
        pytest.raises(OptionError, match=r"executor=dask needs Dask: pip install 'programde\[clu"),
        cluster(),
    ):
        pass
    command = "import programde, programde.workers, sys; sys.exit('distributed' in sys.modules)"
    subprocess.run([sys.executable, "-c", command], check=True, timeout=120)


def test_an_amount_of_memory_is_checked():
    pytest.importorskip("distributed", reason="Dask is not installed (extra `cluster`)")
    with pytest.raises(OptionError, match="worker_memory=lots is no amount"), cluster(
        workers=1, worker_memory="lots"
    ):  # fmt: skip
        pass


#: Starts a job at once, as SLURM would on a free node; and ends one.
SBATCH = """#!/bin/sh
cp "$1" {folder}/job.sh
setsid sh {folder}/job.sh > {folder}/job.log 2>&1 < /dev/null &
echo $! > {folder}/pid
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job in "$@"; do kill -- "-$job" 2>/dev/null; done
exit 0
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of Dask's own connections
def test_slurm_jobs_do_the_work(tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (extra `cluster`)")
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        command = tmp_path / name
        command.write_text(text.format(folder=tmp_path))
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.chdir(tmp_path)
    screen = screen_of(n=500, k=4, n_targets=6, n_ntc=12, one_guide=True)
    options = RunOptions(OLS(), Bernoulli(), n_resamples=19, progress=False, min_treated=2)
    keys = {"workers": 1, "worker_cores": 2, "worker_memory": "2GB", "walltime": "00:30:00",
            "partition": "long", "account": "lab", "interface": "lo"}  # fmt: skip
    with cluster(executor="slurm", **keys) as executor:
        result = run_targets(
            screen, options, ntc_labels="NTC", executor=executor, checkpoint=tmp_path / "kept"
        )
    assert_same_bytes(result, run_targets(screen, options, ntc_labels="NTC"))
    script = (tmp_path / "job.sh").read_text()
    for line in ("-p long", "-A lab", "--cpus-per-task=2", "--mem=2G", "-t 00:30:00"):
        assert re.search(rf"^#SBATCH {line}$", script, re.MULTILINE), line
    assert f"cd {tmp_path}\n" in script
    assert "--nthreads 2" in script
    assert sys.executable in script
    job = int((tmp_path / "pid").read_text())
    waited = time.monotonic()
    while psutil.pid_exists(job) and psutil.Process(job).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() - waited < 60, "the job goes on when the run is over"
        time.sleep(0.1)


def test_a_worker_killed_as_the_first_word_reaches_it_stops_nothing() -> None:
    comm = pytest.importorskip("distributed.comm.core")
    told = []

    class Cut:
        def register_plugin(self, plugin: object) -> None:
            told.append(plugin)
            raise comm.CommClosedError("Stream is closed")

    _deaf_to_interrupts(Cut())
    assert told


def test_workers_that_cannot_be_started_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when one is killed while it starts."""
    distributed = pytest.importorskip("distributed")

    def killed(**_: object) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "LocalCluster", killed)
    with (
        pytest.raises(InputError, match=r"could not be started \(Nanny failed to start.\)"),
        cluster(workers=2),
    ):
        pass
