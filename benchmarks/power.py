"""What each setting of the outcome finds: known effects in control cells, real targets, controls.

    python benchmarks/power.py SCREEN.h5ad OUT.json     obsm cnmf_usage and covar, uns guide2gene
    python benchmarks/power.py built-in OUT.json        the built-in screen

One process, one thread; settings are done one after the other and kept as they come, so that a run
that was cut off goes on. docs/power.md shows the tables.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from programde.analysis.calibrate import calibrate
from programde.analysis.ntc_groups import run_ntc_groups
from programde.analysis.spike_tables import spike_table
from programde.analysis.spiked_controls import run_spikes
from programde.analysis.switching import switching
from programde.analysis.targets import run_targets, units_to_test
from programde.calibration.fdr import benjamini_hochberg
from programde.crt.control_group import choose_control
from programde.crt.options import RunOptions
from programde.crt.samplers import make_sampler
from programde.crt.statistics import make_statistic
from programde.io.anndata import read_h5ad, screen_from_anndata
from programde.report.power import Power
from programde.screen.options import Floor
from programde.screen.screen import Screen
from programde.screen.synthetic import make_sceptre_style_synth

LABELS = ["non-targeting"]
LEVEL = 0.1
Setting = tuple[Floor, str, str, dict[str, Any]]


def settings() -> dict[str, Setting]:
    """Name -> floor, sampler, statistic and the statistic's options."""
    floors = {
        "1e-6": Floor("fixed", eps=1e-6),
        "quantile": Floor(),
        "1e-3": Floor("fixed", eps=1e-3),
        "1e-2": Floor("fixed", eps=1e-2),
        "3e-2": Floor("fixed", eps=3e-2),
        "0.003 / K": Floor("share", share_of_mean=0.003),
        "0.01 / K": Floor("share", share_of_mean=0.01),
        "0.03 / K": Floor("share", share_of_mean=0.03),
        "0.1 / K": Floor("share", share_of_mean=0.1),
        "0.3 / K": Floor("share", share_of_mean=0.3),
    }
    made: dict[str, Setting] = {
        f"ols clr {name}": (floor, "bernoulli_index", "ols", {}) for name, floor in floors.items()
    }
    for transform in ("hellinger", "arcsine"):
        floor = Floor("none", transform=transform)
        made[f"ols {transform}"] = (floor, "bernoulli_index", "ols", {})
    for name in ("1e-6", "1e-3", "1e-2", "0.1 / K"):
        made[f"utest clr {name}"] = (floors[name], "bernoulli_index", "utest", {})
    for name in ("quantile", "0.1 / K"):
        made[f"ols clr {name}, strata"] = (floors[name], "stratified_perm", "ols", {})
    made["utest usage"] = (floors["1e-6"], "bernoulli_index", "utest", {"use": "usage"})
    return made


def read(source: str, floor: Floor) -> Screen:
    """The screen on the scale of a setting."""
    if source != "built-in":
        return read_h5ad(source, usage_key="cnmf_usage", covar_key="covar", floor=floor)
    return screen_from_anndata(make_sceptre_style_synth(), usage_key="usage", floor=floor)


def measured(source: str, setting: Setting) -> dict[str, Any]:
    """Hits, rates of single control guides, spikes by share, and how the means of hits changed."""
    floor, sampler, statistic, more = setting
    screen = read(source, floor)
    options = RunOptions(make_statistic(statistic, **more), make_sampler(sampler), 0)
    result = run_targets(screen, options, ntc_labels=LABELS)
    p = calibrate(result, "saddlepoint").p_value
    hit = benjamini_hochberg(p) <= LEVEL
    guides = run_ntc_groups(screen, options, ntc_labels=LABELS, group_size=1)
    controls = calibrate(guides.result, "saddlepoint").p_value
    start = time.process_time()
    spikes = run_spikes(screen, options, ntc_labels=LABELS)
    power = Power(spike_table(spikes, "saddlepoint"))
    seconds = time.process_time() - start
    units = {unit.name: unit for unit in units_to_test(screen, LABELS)}
    pairs = [(result.units[g], screen.program_names[k]) for g, k in np.argwhere(hit)]
    how = switching(screen, units, pairs, choose_control(screen, "auto", LABELS))
    return {
        "floor": screen.floor,
        "hits": [" x ".join(pair) for pair in pairs],
        "tests": int(np.isfinite(p).sum()),
        "control_rate_05": float(np.nanmean(controls <= 0.05)),
        "control_tests": int(np.isfinite(controls).sum()),
        "inflation": power.inflation,
        "switched": float(how["switched"].abs().sum()),
        "changed": float(how["changed"].abs().sum()),
        "n_treated": spikes.n_treated,
        "found": power.found.to_dict("list"),
        "seconds": seconds,
    }


def main(source: str, out: Path) -> None:
    done = json.loads(out.read_text()) if out.exists() else {}
    for name, setting in settings().items():
        if name in done:
            continue
        done[name] = measured(source, setting)
        out.write_text(json.dumps(done, indent=1) + "\n")
        print(name, len(done[name]["hits"]), round(done[name]["seconds"], 1), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1], Path(sys.argv[2]))
