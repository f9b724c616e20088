"""How often a "touched program" is none, and how many touched ones are found: p_direct in numbers.

    python -m benchmarks.direct_effects      writes results/direct_effects.json, prints a table

Screens of 12,000 cells with 60 targets of about 500 cells each. A target touches programs by
multiplying their usages before the row is closed to 1 (and floored as by default): a quarter of the
targets a large program (30 % of all usage) by exp(1.5), half of these and as many others two
programs by exp(+-0.5) each. Untouched programs' log-ratios then move as well. Compared at q <= 0.1:

    plain       q_value: does the log-ratio move?
    median      the interval null |beta - m| <= 0.1 about the precision-weighted median of effects
    direct      q_direct
    known       no tolerance about the mirror image of the true shift, one target at a time
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import norm

import programde as pde
from programde.analysis.tables import adjust_p, direct_of
from programde.calibration.direct import OF_MEDIAN, weighted_median
from programde.crt.results import CRTResult
from programde.screen.composition import clr, floor_and_close

RESULT = Path(__file__).parent / "results" / "direct_effects.json"
N, N_TARGETS, N_TREATED, SEEDS = 12_000, 60, 500, 4
LARGE, SMALL, LARGE_SHARE, LEVEL = 1.5, 0.5, 0.3, 0.1
WAYS = ("plain", "median", "direct", "known")


def log_normal(rng: np.random.Generator, n_programs: int) -> np.ndarray:
    """Smooth usages, none of them 0."""
    return with_large(np.exp(rng.normal(0, 0.5, n_programs) + rng.normal(0, 0.8, (N, n_programs))))


def with_zeros(rng: np.random.Generator, n_programs: int) -> np.ndarray:
    """The same with zeros, in up to 60 % of the cells."""
    usage = log_normal(rng, n_programs)
    rate = rng.uniform(0, 0.6, n_programs)
    rate[0] = 0.1
    usage[rng.random(usage.shape) < rate] = 0.0
    return usage


def lumpy(rng: np.random.Generator, n_programs: int) -> np.ndarray:
    """Gamma usages of shape about 1/2: most of a cell's usage in few programs."""
    return with_large(rng.gamma(0.5 * rng.lognormal(0, 0.5, n_programs), size=(N, n_programs)))


def with_large(usage: np.ndarray) -> np.ndarray:
    """The first program scaled to its share of all usage."""
    means = usage.mean(axis=0)
    usage[:, 0] *= LARGE_SHARE / (1 - LARGE_SHARE) * means[1:].sum() / means[0]
    return usage


DESIGNS: dict[str, tuple[Callable[..., np.ndarray], int, int, Any]] = {
    "smooth, 20 programs": (log_normal, 20, N_TREATED, pde.OLS()),
    "smooth, 20 programs, utest": (log_normal, 20, N_TREATED, pde.UTest()),
    "smooth, 20 programs, 100 cells": (log_normal, 20, 100, pde.OLS()),
    "lumpy, 20 programs": (lumpy, 20, N_TREATED, pde.OLS()),
    "zeros, 20 programs": (with_zeros, 20, N_TREATED, pde.OLS()),
    "zeros, 20 programs, 1,500 cells": (with_zeros, 20, 1500, pde.OLS()),
    "zeros, 70 programs": (with_zeros, 70, N_TREATED, pde.OLS()),
}


def touched(rng: np.random.Generator, n_programs: int) -> np.ndarray:
    """Log fold changes (targets, programs) of usages before closing."""
    shifts = np.zeros((N_TARGETS, n_programs))
    quarter = N_TARGETS // 4
    shifts[:quarter, 0] = LARGE
    for g in range(quarter // 2, quarter + quarter):
        programs = 1 + rng.choice(n_programs - 1, 2, replace=False)
        shifts[g, programs] = SMALL * rng.choice([-1, 1], 2)
    return shifts


def screen_of(usage: np.ndarray, held: np.ndarray) -> pde.Screen:
    """A screen of these usages, with one guide per target."""
    from anndata import AnnData

    names = [f"T{g}" for g in range(held.shape[1])]
    covariates = pd.DataFrame({"z": np.random.default_rng(0).normal(size=N)})
    adata = AnnData(
        obs=pd.DataFrame(index=[f"c{i}" for i in range(N)]),
        obsm={
            "cnmf_usage": usage,
            "covar": covariates.set_axis([f"c{i}" for i in range(N)]),
            "guide_assignment": sparse.csr_matrix(held.astype(np.int8)),
        },
        uns={"guide_names": names, "guide2gene": {name: name for name in names}},
    )
    return pde.screen_from_anndata(adata)


def known_mirror(usage: np.ndarray, shifts: np.ndarray, floor: float) -> np.ndarray:
    """The mean shift of each program's log-ratio by the others' shifts alone."""

    def level(shift: np.ndarray) -> np.ndarray:
        moved = usage[:4000] * np.exp(shift)
        return clr(floor_and_close(moved / moved.sum(axis=1, keepdims=True), floor)).mean(axis=0)

    mirror, still = np.zeros(shifts.shape), level(np.zeros(shifts.shape[1]))
    for g in np.flatnonzero(shifts.any(axis=1)):
        mirror[g] = level(shifts[g]) - still
        for k in np.flatnonzero(shifts[g]):
            others = shifts[g].copy()
            others[k] = 0.0
            mirror[g, k] = (level(others) - still)[k]
    return mirror


def by_median(result: CRTResult, p: np.ndarray) -> np.ndarray:
    """The interval null about one number per target, the same tolerance everywhere."""
    assert result.shifts is not None
    beta, se = result.shifts.log_ratio, result.shifts.log_ratio_se
    middle = [weighted_median(b, s**-2.0) for b, s in zip(beta, se, strict=True)]
    error = np.sqrt(se**2 + OF_MEDIAN / (se**-2.0).sum(axis=1, keepdims=True))
    far = np.maximum(np.abs(beta - np.array(middle)[:, None]) - 0.1, 0.0)
    return np.maximum(2 * norm.sf(far / error), p)


def measured(name: str, seed: int) -> dict[str, dict[str, int]]:
    """Counts of one screen, way by way."""
    draw, n_programs, n_treated, statistic = DESIGNS[name]
    rng = np.random.default_rng([seed, list(DESIGNS).index(name)])
    usage = draw(rng, n_programs)
    shifts = touched(rng, n_programs)
    held = np.zeros((N, N_TARGETS), dtype=bool)
    for g in range(N_TARGETS):
        held[rng.choice(N, n_treated, replace=False), g] = True
    moved = usage * np.exp(held @ shifts)
    screen = screen_of(moved / moved.sum(axis=1, keepdims=True), held)
    options = pde.RunOptions(statistic, pde.Bernoulli(), n_resamples=0, n_jobs=1, progress=False)
    result = pde.run_targets(screen, options, control="complement")
    p = pde.calibrate(result, "saddlepoint").p_value
    assert result.shifts is not None
    mirror = known_mirror(usage, shifts, screen.floor)
    z = (result.shifts.log_ratio - mirror) / result.shifts.log_ratio_se
    of = {
        "plain": p,
        "median": by_median(result, p),
        "direct": direct_of(result, p).p_value,
        "known": np.maximum(p, 2 * norm.sf(np.abs(z))),
    }
    truly, small = shifts != 0, np.abs(shifts) == SMALL
    counts = {}
    for way, values in of.items():
        hit = adjust_p(values) <= LEVEL
        counts[way] = {
            "hits": int(hit.sum()),
            "false": int((hit & ~truly).sum()),
            "small_found": int((hit & small).sum()),
            "small": int(small.sum()),
        }
    return counts


def main() -> None:
    table: dict[str, Any] = {}
    for name in DESIGNS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pde.ProgramDEWarning)
            runs = [measured(name, seed) for seed in range(SEEDS)]
        table[name] = {}
        for way in WAYS:
            total = {key: sum(run[way][key] for run in runs) for key in runs[0][way]}
            false = total["false"] / max(total["hits"], 1)
            table[name][way] = total | {
                "false_share": false, "power": total["small_found"] / total["small"],
            }  # fmt: skip
        told = "  ".join(
            f"{way} {entry['false_share']:.2f} / {entry['power']:.2f}"
            for way, entry in table[name].items()
        )
        print(f"{name:34}{told}", flush=True)
    RESULT.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
