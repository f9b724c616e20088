"""The small screens whose results are stored."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

import programde as pde
from programde.screen.synthetic import make_sceptre_style_synth

NTC = "non-targeting"


@cache
def many_guides() -> Any:
    """The built-in screen as small as experiment=quick makes it: some guides per cell."""
    adata = make_sceptre_style_synth(
        N=1500,
        K=8,
        n_target_genes=12,
        guides_per_gene=4,
        ntc_frac_guides=0.2,
        moi_mean=5.5,
        frac_causal_genes=0.35,
        n_effect_programs=3,
        effect_size=1.0,
        n_cov_extra=2,
        confound_strength=0.6,
        eps_near_zero=1e-6,
        sprinkle_near_zero_frac=0.2,
        exact_zero_frac=1.0,
        n_batches=4,
        seed=0,
    )
    cells = np.arange(adata.n_obs)
    adata.obsm["covar"]["stage"] = pd.Categorical(np.where(cells % 5 < 2, "early", "late"))
    return _screen(adata, usage_key="usage")


@cache
def one_guide() -> Any:
    """A screen of one guide per cell: T0 to T2 have effects, T6 is rare, T7 too rare to be tested,
    and T5 is absent from the first batch."""
    rng = np.random.default_rng(20)
    n, k, n_targets, per_target, n_ntc = 1500, 6, 8, 3, 12
    guides = [f"T{t}_{g}" for t in range(n_targets) for g in range(per_target)]
    guides += [f"NTC_{g:02d}" for g in range(n_ntc)]
    targets = [name.split("_")[0] for name in guides[: n_targets * per_target]] + [NTC] * n_ntc
    target = np.array(targets)
    batch, depth = rng.integers(0, 4, n), rng.normal(size=n)
    abundance = np.exp(0.3 * rng.normal(size=len(guides)))
    abundance[target == NTC] *= 1.4
    slope = np.repeat(np.linspace(-0.6, 0.6, len(guides) // 3), 3)
    log_odds = np.log(abundance) + slope * depth[:, None]
    log_odds += 0.3 * rng.normal(size=(4, len(guides)))[batch]
    log_odds[:, target == "T6"] -= 2.2
    log_odds[:, target == "T7"] = -np.inf
    log_odds[np.ix_(batch == 0, target == "T5")] = -np.inf
    own = np.argmax(log_odds + rng.gumbel(size=log_odds.shape), axis=1)
    own[:6] = guides.index("T7_0")
    effects = np.zeros((n_targets + 1, k))
    effects[0, :2], effects[1, 2:4], effects[2, 4:] = (2.5, -2.5), (-0.8, 0.8), (0.4, -0.4)
    place = {f"T{t}": t for t in range(n_targets)} | {NTC: n_targets}
    logits = rng.normal(size=k) + 0.3 * rng.normal(size=(4, k))[batch]
    logits = logits + 0.25 * depth[:, None] * rng.normal(size=k) + 0.7 * rng.normal(size=(n, k))
    logits += effects[[place[targets[g]] for g in own]]
    usage = np.exp(logits) * (rng.random((n, k)) > 0.15)
    usage[usage.sum(axis=1) == 0] = 1.0
    # whole shares of 2^-20, so that no tie at the floor hangs on how a processor rounds
    usage = np.round(usage / usage.sum(axis=1, keepdims=True) * 2**20) / 2**20
    presence = np.zeros((n, len(guides)))
    presence[np.arange(n), own] = 1.0
    names = [f"cell_{i}" for i in range(n)]
    covariates = pd.DataFrame(
        {
            "batch": pd.Categorical([f"B{b}" for b in batch]),
            "log_depth": depth,
            "stage": pd.Categorical(np.where(rng.random(n) < 0.5, "early", "late")),
        },
        index=names,
    )
    adata = AnnData(
        obs=pd.DataFrame(index=names),
        obsm={
            "covar": covariates,
            "cnmf_usage": usage,
            "guide_assignment": presence,
        },
        uns={
            "guide2gene": dict(zip(guides, targets, strict=True)),
            "guide_names": np.array(guides, dtype=object),
            "program_names": np.array([f"program_{j}" for j in range(k)], dtype=object),
        },
    )
    return _screen(adata)


def _screen(adata: AnnData, **keys: Any) -> Any:
    if "formula" in inspect.signature(pde.screen_from_anndata).parameters:
        keys["formula"] = "linear"  # what all covariates were before there were formulas
    with warnings.catch_warnings():  # that a floor was raised, for one
        warnings.simplefilter("ignore", pde.ProgramDEWarning)
        return pde.screen_from_anndata(adata, condition_key="stage", **keys)


@cache
def original_inputs() -> tuple[Any, Any]:
    """Inputs by the original's names, and groups of control guides."""
    adata = make_sceptre_style_synth(
        N=900,
        K=5,
        n_target_genes=8,
        guides_per_gene=6,
        ntc_frac_guides=0.3,
        moi_mean=4.0,
        frac_causal_genes=0.25,
        effect_size=1.0,
        n_cov_extra=2,
        seed=0,
    )
    inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    guides, freq, to_bin, signatures = pde.build_ntc_group_inputs(
        inputs, NTC, group_size=6, n_bins=5
    )
    groups = pde.make_ntc_groups_ensemble(
        guides, freq, signatures, to_bin, n_ensemble=2, seed0=7, group_size=6
    )
    return inputs, groups


SCREENS: dict[str, Callable[[], Any]] = {"many": many_guides, "one": one_guide}
