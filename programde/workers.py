"""Workers of Dask: of a cluster that is there, on this machine, or from SLURM.

Dask is an extra of the package (`cluster`) and imported here alone. Dask's connections are not
encrypted, and whoever reaches a scheduler can run code as its user: a cluster of one's own on this
machine listens on the loopback interface alone, the scheduler for SLURM on the network of the nodes
(its dashboard on loopback, unless it is asked for elsewhere).
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from programde.errors import InputError, OptionError
from programde.limits import core_count
from programde.option_fields import check_options, option

#: Who tests.
EXECUTORS = ("threads", "dask", "slurm")
#: Where a dashboard is bound unless it is asked for elsewhere.
LOOPBACK = "127.0.0.1:0"
#: Seconds in which a scheduler is to answer.
ANSWER = 10.0
#: What is said where Dask is not installed.
ABSENT = "needs Dask: pip install 'programde[cluster]'"

#: Fields that belong to Dask, and those that belong to SLURM alone.
_DASKS = ("scheduler", "workers", "worker_memory", "worker_cores", "dashboard")
_SLURMS = ("walltime", "partition", "account", "interface")


@dataclass(frozen=True)
class Workers:
    """Who tests, and where.

    Attributes
    ----------
    executor
        ``"threads"`` of this process, ``"dask"``, or ``"slurm"``: Dask whose workers are jobs.
    scheduler
        Address of a Dask scheduler that is there, such as ``"tcp://10.0.0.5:8786"``.
    workers
        Processes on this machine, or SLURM jobs; None: one process for each core, one job.
    worker_cores
        Threads of each worker, which share what they hold in memory; None: one, from SLURM four.
    worker_memory
        Memory of each worker, such as ``"16GB"``; None: no limit; SLURM must be told.
    walltime, partition, account
        Of the SLURM jobs; None: what the cluster takes for granted.
    interface
        Network interface between the nodes, such as ``"ib0"``; None: Dask's choice.
    dashboard
        Where Dask's dashboard listens, such as ``":8787"``; None: on loopback.
    """

    executor: str = option("threads", choices=EXECUTORS)
    scheduler: str | None = None
    workers: int | None = option(None, minimum=1)
    worker_cores: int | None = option(None, minimum=1)
    worker_memory: str | None = None
    walltime: str | None = None
    partition: str | None = None
    account: str | None = None
    interface: str | None = None
    dashboard: str | None = None

    def __post_init__(self) -> None:
        check_options(self)
        unused = {"threads": (*_DASKS, *_SLURMS), "dask": _SLURMS, "slurm": ("scheduler",)}
        for name in unused[self.executor]:
            if getattr(self, name) is not None:
                belongs = "slurm" if name in _SLURMS else "dask"
                raise OptionError(
                    f"{name}={getattr(self, name)} says nothing with executor={self.executor}; it "
                    f"belongs to {belongs}"
                )
        for name in ("workers", "worker_cores", "worker_memory", "dashboard"):
            if self.scheduler is not None and getattr(self, name) is not None:
                raise OptionError(
                    f"{name} is for workers that are started here; those of "
                    f"scheduler={self.scheduler} are there already"
                )
        if self.scheduler is not None and not re.match(r"\w+://.+:\d+$", self.scheduler):
            raise OptionError(f"scheduler={self.scheduler} is no address such as tcp://host:8786")
        if self.walltime is not None and not re.fullmatch(r"(\d+-)?\d+(:\d\d){1,2}", self.walltime):
            raise OptionError(f"walltime={self.walltime} is no time such as 02:00:00 or 1-00:00:00")
        if self.executor == "slurm" and self.worker_memory is None:
            raise OptionError("executor=slurm needs worker_memory, such as worker_memory=16GB")


@contextlib.contextmanager
def cluster(**keys: Any) -> Iterator[Executor | None]:
    """Workers for `run_targets(..., executor=...)`, for as long as its ``with`` lasts.

    Parameters
    ----------
    **keys
        Fields of `Workers`; ``executor="dask"`` where none is named.

    Yields
    ------
    Executor
        None with ``executor="threads"``.

    Raises
    ------
    OptionError
        A key that says nothing, or Dask is not installed.
    InputError
        No scheduler answers.

    Examples
    --------
    With ``pde.cluster(workers=2)`` these were two processes of this machine:

    >>> import programde as pde
    >>> screen = pde.screen_from_anndata(
    ...     pde.make_sceptre_style_synth(N=600, K=5, n_target_genes=4, seed=0), usage_key="usage")
    >>> options = pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0)
    >>> with pde.cluster(executor="threads") as executor:
    ...     result = pde.run_targets(screen, options, ntc_labels="NTC", executor=executor)
    >>> len(result.units)
    4
    """
    how = Workers(**{"executor": "dask", **keys})
    if how.executor == "threads":
        yield None
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise OptionError(f"executor={how.executor} {ABSENT}") from error
    with contextlib.ExitStack() as stack:
        stack.enter_context(_silenced())
        if how.scheduler is not None:
            try:
                client = Client(how.scheduler, timeout=ANSWER, set_as_default=False)
            except (OSError, TimeoutError, ValueError) as error:
                raise InputError(f"no Dask scheduler answers at {how.scheduler}") from error
            stack.callback(_quietly, client.close)
        else:
            started = _on_this_machine(how) if how.executor == "dask" else _from_slurm(how)
            stack.callback(_end, started)
            client = Client(started, set_as_default=False)
            stack.callback(_quietly, client.close)
            if how.executor == "dask":
                _deaf_to_interrupts(client)
        yield client.get_executor()


def _on_this_machine(how: Workers) -> Any:
    from distributed import LocalCluster

    memory = _bytes(how.worker_memory)
    try:
        return LocalCluster(
            n_workers=how.workers or core_count(),
            threads_per_worker=how.worker_cores or 1,
            processes=True,
            memory_limit=memory,
            dashboard_address=how.dashboard or LOOPBACK,
            silence_logs=logging.CRITICAL,
        )
    except (RuntimeError, OSError) as error:
        raise InputError(
            f"Dask's workers could not be started ({error}): one was killed, as a rule for want of "
            "memory, or its address is taken; try again, with fewer workers"
        ) from error


def _deaf_to_interrupts(client: Any) -> None:
    """Ctrl-C on a terminal reaches all processes: ours tells the workers, and they tell no more."""
    from distributed import WorkerPlugin

    class Deaf(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            import signal

            signal.signal(signal.SIGINT, signal.SIG_IGN)

    # a worker that is killed meanwhile cuts the call off; who comes in its place is told as well
    with contextlib.suppress(OSError):
        client.register_plugin(Deaf())


def _from_slurm(how: Workers) -> Any:
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise OptionError(f"executor=slurm {ABSENT}") from error
    _bytes(how.worker_memory)
    made = SLURMCluster(
        queue=how.partition,
        account=how.account,
        walltime=how.walltime,
        cores=how.worker_cores or 4,
        processes=1,
        memory=how.worker_memory,
        interface=how.interface,
        python=sys.executable,
        worker_extra_args=["--no-dashboard"],
        job_script_prologue=[f"cd {shlex.quote(os.getcwd())}"],
        log_directory="slurm-logs",
        scheduler_options={"dashboard_address": how.dashboard or LOOPBACK},
    )
    made.scale(jobs=how.workers or 1)
    return made


def _bytes(memory: str | None) -> int:
    """Bytes that a text like 16GB says; 0, no limit, for None."""
    from dask.utils import parse_bytes

    try:
        return 0 if memory is None else int(parse_bytes(memory))
    except ValueError:
        raise OptionError(f"worker_memory={memory} is no amount such as 16GB") from None


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Dask's own log is silent: what fails is told by us, in one line."""
    known = logging.Logger.manager.loggerDict
    names = [name for name in known if name.split(".")[0] == "distributed"]
    before = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _end(started: Any) -> None:
    """Close a cluster; what is half gone and cannot be closed does not warn of that later."""
    from distributed.core import Status

    _quietly(started.close)
    started.status = Status.closed


def _quietly(close: Any) -> None:
    """Close what may be gone already."""
    with contextlib.suppress(Exception):
        close()


__all__ = ["EXECUTORS", "Workers", "cluster"]
