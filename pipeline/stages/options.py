"""From the keys that say how units are tested to what the library takes; shared by three stages."""

from __future__ import annotations

import os
from typing import Any

from pipeline.stages.entry import Options
from programde.crt.engine import RunOptions
from programde.crt.control_group import ControlGroup, guides_per_cell
from programde.crt.samplers import make_sampler
from programde.crt.statistics import make_statistic
from programde.errors import OptionError
from programde.screen.screen import Screen


def run_options(o: Options, n_resamples: int, **instead: Any) -> RunOptions:
    """How units are tested: `analysis`, `sampler`, `test`, `seed` and `compute`."""
    given = {
        "statistic": _made(make_statistic, o.test),
        "sampler": _made(make_sampler, o.sampler),
        "n_resamples": n_resamples,
        "seed": o.seed,
        "min_treated": o.analysis.min_treated,
        "min_control": o.analysis.min_control,
        "n_jobs": n_jobs(o),
        "progress": progress(),
    }
    return RunOptions(**{**given, **instead})


def comparison(o: Options) -> dict[str, Any]:
    """Who is compared with whom: `analysis` and the control labels."""
    return {
        "ntc_labels": o.data.ntc_labels,
        "control": o.analysis.control,
        "by_condition": o.analysis.by_condition,
        "drop_empty_batches": o.analysis.drop_empty_batches,
    }


def check_burden(screen: Screen, control: ControlGroup, o: Options) -> None:
    """Strata of burden must be able to hold treated cells and control cells both.

    Cells that hold only controls have no burden of other guides, and treated cells have: strata of
    it leave nothing to permute, and every p-value is 1.

    Raises
    ------
    OptionError
        The burden tells treated cells from control cells.
    """
    key = o.sampler.burden_key if "burden_key" in o.sampler else None
    table = screen.covariate_table
    if key is None or control.nt_only is None or table is None or key not in table:
        return
    burden = table[key].to_numpy(dtype=float)
    treated = (guides_per_cell(screen) > 0) & ~control.nt_only
    if treated.any() and burden[treated].min() > burden[control.nt_only].max():
        raise OptionError(
            f"sampler.burden_key={key} is above {burden[control.nt_only].max():.3g} in every "
            f"treated cell and in none with controls only, so that no stratum holds both: use "
            f"sampler=stratified or analysis.control=complement"
        )


def group_options(o: Options) -> dict[str, Any]:
    """How non-targeting guides are grouped: `controls`."""
    return dict(o.controls.as_dict())


def n_jobs(o: Options) -> int:
    """Threads: all cores where none are asked for."""
    return -1 if o.compute.n_jobs is None else int(o.compute.n_jobs)


def progress() -> bool | None:
    """A progress bar on a terminal (through DVC too), none in continuous integration."""
    return False if os.environ.get("CI") else None


def _made(make: Any, section: Options) -> Any:
    options = section.as_dict()
    return make(options.pop("kind"), **options)
