"""Compile the kernels and keep them on disk: python scripts/compile_kernels.py [SAMPLER ...].

The first run of anything else would compile what it needs and take a minute longer. Runs a very
small screen through every statistic and calibration with the samplers named (default: all).
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any


def compile_with(sampler_name: str) -> None:
    """Go through everything that is compiled, with one sampler, as the stages do."""
    from programde.analysis.calibrate import calibrate
    from programde.analysis.ntc_groups import run_ntc_groups
    from programde.analysis.targets import run_targets
    from programde.controls.empirical_null import ntc_empirical_null
    from programde.controls.options import CrossfitOptions
    from programde.crt.options import RunOptions
    from programde.crt.samplers import make_sampler
    from programde.crt.statistics import make_statistic
    from programde.io.anndata import screen_from_anndata
    from programde.screen.store import load_screen, save_screen
    from programde.screen.synthetic import make_sceptre_style_synth

    adata = make_sceptre_style_synth(
        N=600, K=5, n_target_genes=6, guides_per_gene=3, ntc_frac_guides=0.4, effect_size=1.5
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "screen"
        save_screen(screen_from_anndata(adata, usage_key="usage"), folder)
        screen = load_screen(folder)
        labels = ["non-targeting"]
        low = one_guide_a_cell(screen)
        for statistic in ("ols", "utest"):
            options = RunOptions(
                make_statistic(statistic), make_sampler(sampler_name), n_resamples=99
            )
            result = run_targets(screen, options, ntc_labels=labels)
            run_ntc_groups(screen, options, ntc_labels=labels, n_partitions=2)
            for method in ("skew_normal", "saddlepoint"):
                calibrate(result, method)
            for given in ("covariates", "propensity"):
                against = replace(options, given=given)
                run_targets(low, against, ntc_labels=labels, control="nt_cells")
                run_ntc_groups(low, against, ntc_labels=labels, control="nt_cells", n_partitions=2)
            compile_rare_ways(screen, options)
        ntc_empirical_null(screen, ntc_labels=labels, crossfit=CrossfitOptions())


def one_guide_a_cell(screen: Any) -> Any:
    """The screen with one guide in each cell; a target and some controls lack a batch."""
    import numpy as np
    from scipy import sparse

    n_guides = screen.guides.shape[1]
    held = np.random.default_rng(0).permutation(np.resize(np.arange(n_guides), screen.n_cells))
    first = np.asarray(screen.batch) == np.asarray(screen.batch)[0]
    lacking = np.isin(held, [0, 1, 2, n_guides - 1]) & first
    held[lacking] = 3
    ones = np.ones(screen.n_cells, dtype=np.int8)
    shape = (screen.n_cells, n_guides)
    return replace(
        screen, guides=sparse.csc_matrix((ones, (np.arange(screen.n_cells), held)), shape=shape)
    )


def compile_rare_ways(screen: Any, options: Any) -> None:
    """Exact tails of tests so sparse that they are inverted, or all their draws listed."""
    import numpy as np

    from programde.crt.engine import Task, run_tasks
    from programde.crt.population import population_of

    for cells in (None, np.arange(12)):
        population = population_of(screen, cells)
        # of the first program's highest cells every third: a far tail, and not its very end
        high = np.argsort(-population.outcome[:, 0])[: screen.n_cells // 40 : 3]
        task = Task(population, ["rare"], [np.sort(high)], [0])
        run_tasks([task], ["rare"], screen.program_names, options)


def main(names: list[str]) -> None:
    from programde.crt.samplers import SAMPLERS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the little screen is no one's data
        for name in names or SAMPLERS:
            compile_with(name)


if __name__ == "__main__":
    main(sys.argv[1:])
