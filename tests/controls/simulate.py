"""Screens whose guides have effects of a known law, for tests of the NTC null."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from programde.screen.screen import Screen


def screen_of(clr, covariates, indicators, names, mapping, batch=None, table=None):
    """A Screen from plain arrays; usages are the softmax of the log ratios."""
    usage = np.exp(clr - clr.max(axis=1, keepdims=True))
    return Screen(
        usage=usage / usage.sum(axis=1, keepdims=True),
        clr=clr,
        floor=1e-6,
        covariates=covariates,
        covariate_names=[f"c{j}" for j in range(covariates.shape[1])],
        covariate_table=table,
        batch=batch,
        guides=sparse.csc_matrix(indicators.astype(np.int8)),
        guide_names=list(names),
        guide_to_target=mapping,
        program_names=[f"p{k}" for k in range(clr.shape[1])],
        cell_names=[f"cell{i}" for i in range(len(clr))],
    )


def null_screen(
    n_ntc,
    per_target,
    n_targets=20,
    n_programs=200,
    cells_per_guide=20,
    guide_sd=0.0,
    n_batches=1,
    guide_sd_shared=0.0,
    uneven=0.0,
    mean=0.0,
    seed=0,
):
    """One guide per cell, and no target does anything that NTC guides do not do.

    `guide_sd` is the standard deviation of guides' own effects in each batch, `guide_sd_shared`
    that of an effect which is the same in all batches, `uneven` the spread of the log of guide
    frequencies, `mean` a shift of all guides against the cells without one.
    """
    rng = np.random.default_rng(seed)
    names = [f"ntc{i}" for i in range(n_ntc)]
    names += [f"t{t}_{i}" for t in range(n_targets) for i in range(per_target)]
    mapping = {n: "NTC" if n.startswith("ntc") else n.split("_")[0] for n in names}
    n_guides = len(names)
    size = np.maximum(2, np.round(cells_per_guide * np.exp(uneven * rng.normal(size=n_guides))))
    guide = np.concatenate([np.repeat(np.arange(n_guides), size.astype(int))] * n_batches)
    batch = np.repeat(np.arange(n_batches), len(guide) // n_batches)
    bare = rng.integers(n_batches, size=len(guide) // 5)  # cells without a guide
    guide = np.concatenate([guide, np.full(len(bare), -1)])
    batch = np.concatenate([batch, bare])
    n = len(guide)
    depth = rng.normal(size=n)
    covariates = np.column_stack([np.ones(n), depth, *(batch == b for b in range(1, n_batches))])
    own = guide_sd * rng.normal(size=(n_batches, n_guides, n_programs))
    own += guide_sd_shared * rng.normal(size=(n_guides, n_programs)) + mean
    clr = rng.normal(size=(n, n_programs)) + 0.5 * depth[:, None] + batch[:, None]
    has = guide >= 0
    clr[has] += own[batch[has], guide[has]]
    indicators = guide[:, None] == np.arange(n_guides)
    labels = np.array([f"b{b}" for b in batch], dtype=object)
    table = pd.DataFrame({"depth": depth, "batch": labels, "lane": labels})
    return screen_of(clr, covariates, indicators, names, mapping, labels, table)
