"""From the keys that say how units are tested to what the library takes; shared by three stages."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any

from pipeline.stages.entry import Options, note
from programde.crt.options import RunOptions
from programde.crt.samplers import make_sampler
from programde.crt.statistics import make_statistic
from programde.option_fields import specs
from programde.workers import Workers, cluster


def run_options(
    o: Options, n_resamples: int, executor: Executor | None = None, **instead: Any
) -> RunOptions:
    """How units are tested: `analysis`, `sampler`, `test`, `seed` and `compute`."""
    given = {
        "statistic": _made(make_statistic, o.test),
        "sampler": _made(make_sampler, o.sampler),
        "n_resamples": n_resamples,
        "seed": o.seed,
        "min_treated": o.analysis.min_treated,
        "min_control": o.analysis.min_control,
        "tails": o.analysis.tails,
        "given": o.analysis.given,
        "n_jobs": n_jobs(o) if executor is None else 1,
        "progress": progress(),
        "memory": o.compute.memory,
    }
    return RunOptions(**{**given, **instead})


def comparison(o: Options) -> dict[str, Any]:
    """Who is compared with whom: `analysis` and the control labels."""
    keys = ("control", "by_condition", "drop_empty_batches", "exclude_guides")
    return {"ntc_labels": o.data.ntc_labels} | {key: getattr(o.analysis, key) for key in keys}


def which_targets(o: Options) -> dict[str, Any]:
    """Which targets are tested, in which cells: more of `analysis`."""
    keys = ("cells_with_other_targets", "exclude_targets", "targets")
    return {key: getattr(o.analysis, key) for key in keys}


def group_options(o: Options) -> dict[str, Any]:
    """How non-targeting guides are grouped: `controls`, but for its `units`."""
    return {key: value for key, value in o.controls.as_dict().items() if key != "units"}


def n_jobs(o: Options) -> int:
    """Threads: all cores where none are asked for."""
    return -1 if o.compute.n_jobs is None else int(o.compute.n_jobs)


@contextlib.contextmanager
def workers(o: Options) -> Iterator[Executor | None]:
    """Who tests, as `compute` says; None for threads of this process."""
    with cluster(**{k: v for k, v in o.compute.as_dict().items() if k in specs(Workers)}) as found:
        if o.compute.executor == "slurm":
            note("SLURM was asked for workers; tests begin when the first of them runs")
        yield found


def progress() -> bool | None:
    """A progress bar on a terminal (through DVC too), none in continuous integration."""
    return False if os.environ.get("CI") else None


def _made(make: Any, section: Options) -> Any:
    options = section.as_dict()
    return make(options.pop("kind"), **options)
