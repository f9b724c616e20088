"""Smoke test in memory: a mock screen with one known effect through the library's main doors.

Run from the top of the repository: `python scripts/test_mock_crt.py`. Takes seconds (the first run
on a machine also compiles the kernels). Exit status 0 and a last line "ok" mean that it works. With
`--qq qq.png` the controls' QQ plot is drawn as well.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import programde as pde

N_CELLS, N_PROGRAMS, B = 1500, 5, 199


def mock_screen(seed: int = 0):
    """An AnnData of 1,500 cells x 5 programs: GENE_A raises program_1, GENE_B does nothing."""
    from anndata import AnnData

    rng = np.random.default_rng(seed)
    guides = [f"{target}_{i}" for target in ("GENE_A", "GENE_B", "NTC") for i in range(3)]
    present = rng.random((N_CELLS, len(guides))) < 0.04
    log_usage = rng.normal(size=(N_CELLS, N_PROGRAMS))
    log_usage[:, 1] += 2.0 * present[:, :3].any(axis=1)
    usage = np.exp(log_usage)
    cells = [f"cell_{i}" for i in range(N_CELLS)]
    covariates = pd.DataFrame(
        {"batch": rng.choice(["a", "b"], N_CELLS), "log_depth": rng.normal(size=N_CELLS)},
        index=cells,
    )
    return AnnData(
        obs=pd.DataFrame(index=cells),
        obsm={
            "cnmf_usage": usage / usage.sum(axis=1, keepdims=True),
            "covar": covariates,
            "guide_assignment": present.astype(np.int8),
        },
        uns={"guide_names": guides, "guide2gene": {g: g.rsplit("_", 1)[0] for g in guides}},
    )


def draw_qq(inputs, out, path: Path) -> None:
    """The p-values of the control guides, one by one, raw and skew-normal, beside their null."""
    controls = [{guide: [guide] for guide in inputs.guide_names if guide.startswith("NTC")}]
    given = {"inputs": inputs, "ntc_groups_ens": controls, "B": B}
    single = {"seed0": 0, "expected_group_size": 1}
    ax = pde.qq_plot_ntc_pvals(
        out["pvals_raw_df"],
        inputs.guide2gene,
        ["NTC"],
        pvals_skew_df=out["pvals_df"],
        null_pvals=pde.compute_ntc_group_null_pvals_parallel(**given),
        ntc_group_pvals_ens=pde.crt_pvals_for_ntc_groups_ensemble(**given, **single),
        ntc_group_pvals_skew_ens=pde.crt_pvals_for_ntc_groups_ensemble_skew(**given, **single),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    ax.figure.savefig(path)


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--qq", type=Path, help="file of the QQ plot of the controls")
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    pde.limit_threading()
    adata = mock_screen()
    inputs = pde.prepare_crt_inputs(adata)
    smallest = 1 / (B + 1)
    runs = {
        "OLS, Bernoulli": {},
        "OLS, stratified": {"resampling_method": "stratified_perm"},
        "U-test, stratified": {"resampling_method": "stratified_perm", "test_stat": "utest"},
        "OLS, Bernoulli, skew-normal": {"calibrate_skew_normal": True, "return_raw_pvals": True},
    }
    failed = []
    for name, options in runs.items():
        out = pde.run_all_genes_union_crt(inputs, B=B, n_jobs=2, progress=False, **options)
        hit = out["pvals_df"].loc["GENE_A", "program_1"]
        null = out["pvals_df"].loc["NTC"].min()
        effect = out["betas_df"].loc["GENE_A", "program_1"]
        good = hit <= smallest and effect > 0 and null > smallest
        print(f"{name:30} effect {effect:+.3f}  p {hit:.2g}  smallest NTC p {null:.2g}")
        if not good:
            failed.append(name)
    pde.store_results_in_adata(adata, out["pvals_df"], out["betas_df"], out["treated_df"])
    if "crt_union_gene_program_pvals" not in adata.uns:
        failed.append("storing")
    if given.qq is not None:
        draw_qq(inputs, out, given.qq)
    print(f"{time.perf_counter() - began:.1f} s")
    print("failed: " + "; ".join(failed) if failed else "ok")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
