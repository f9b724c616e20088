"""Global-null check: a synthetic screen without effects, on which every p-value should be uniform.

Run from the top of the repository: `make global-null`, or `python scripts/global_null.py --help`.
Writes into reports/global_null: diagnostics.csv (a row per gene and control group), summary.json,
qq_genes.png and qq_ntc_groups.png.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import programde as pde
from programde.screen.synthetic import make_sceptre_style_synth

NTC = "non-targeting"


def options() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cells", type=int, default=5000)
    parser.add_argument("--programs", type=int, default=20)
    parser.add_argument("--targets", type=int, default=60)
    parser.add_argument("--resamples", type=int, default=1023)
    parser.add_argument("--confounding", type=float, default=0.5, help="0: none; 1: strong")
    parser.add_argument("--partitions", type=int, default=5, help="partitions of control guides")
    parser.add_argument("--sampler", choices=["bernoulli_index", "stratified_perm"])
    parser.add_argument("--statistic", choices=["ols", "utest"], default="ols")
    parser.add_argument(
        "--oracle",
        action="store_true",
        help="use the constant propensity, which is the true one where there is no confounding",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=-1, help="threads; -1: one per core")
    parser.add_argument("--out", type=Path, default=Path("reports/global_null"))
    return parser.parse_args()


def pooled(frames: dict) -> np.ndarray:
    """All p-values of an ensemble's tables."""
    return np.concatenate([frame.to_numpy().ravel() for frame in frames.values()])


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table under a temporary name, then move it."""
    temporary = path.with_name(path.name + ".tmp")
    table.to_csv(temporary, index=False, float_format="%.6g")
    os.replace(temporary, path)


def main() -> int:
    from programde.report.qq_plots import qq_panel
    from programde.report.style import save_png

    given = options()
    pde.limit_threading()
    adata = make_sceptre_style_synth(
        N=given.cells,
        K=given.programs,
        n_target_genes=given.targets,
        guides_per_gene=4,
        ntc_frac_guides=0.2,
        frac_causal_genes=0.0,
        confound_strength=given.confounding,
        seed=given.seed,
    )
    inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    how = {
        "n_jobs": given.jobs,
        "resampling_method": given.sampler or "bernoulli_index",
        "test_stat": given.statistic,
        "propensity_model": pde.oracle_propensity_const if given.oracle else None,
    }
    genes = [gene for gene in inputs.gene_to_cols if gene != NTC]
    guides, freq, to_bin, signatures = pde.build_ntc_group_inputs(inputs, NTC, 4, n_bins=10)
    groups = pde.make_ntc_groups_ensemble(
        guides, freq, signatures, to_bin, given.partitions, given.seed, group_size=4
    )
    seeds = {"B": given.resamples, "base_seed": given.seed}
    of_genes = pde.collect_gene_diagnostics(inputs, genes, **seeds, **how)
    of_groups = pde.collect_ntc_group_diagnostics(inputs, groups, **seeds, **how)
    table = pd.concat([of_genes, of_groups], ignore_index=True)
    # a group that recurs is one unit: it counts once
    summary = pde.summarize_diagnostics(table.drop_duplicates(["kind", "unit"]), **seeds)

    out = pde.run_all_genes_union_crt(
        inputs, genes, **seeds, **how, return_raw_pvals=True, calibrate_skew_normal=True
    )
    of_four = {"B": given.resamples, "seed0": given.seed, "expected_group_size": 4, **how}
    raw = pde.crt_pvals_for_ntc_groups_ensemble(inputs, groups, **of_four)
    smooth = pde.crt_pvals_for_ntc_groups_ensemble_skew(inputs, groups, **of_four)
    given.out.mkdir(parents=True, exist_ok=True)
    write_csv(table, given.out / "diagnostics.csv")
    pde.write_summary(summary, given.out / "summary.json")
    panels = {
        "genes": ("genes without effect", out["pvals_raw_df"], out["pvals_df"]),
        "ntc_groups": ("groups of control guides", pooled(raw), pooled(smooth)),
    }
    for name, (title, p_raw, p_smooth) in panels.items():
        ax = qq_panel({"raw": p_raw, "skew_normal": p_smooth}, title=f"Global null: {title}")
        save_png(ax, given.out / f"qq_{name}.png")
    with pd.option_context("display.width", 120, "display.max_rows", 100):
        print(pd.DataFrame(summary["kinds"]).to_string(float_format=lambda x: f"{x:.4g}"))
    print(f"written: {given.out.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
