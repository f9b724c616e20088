"""Screens in which no target does anything, and covariates enter both models as one chooses."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import expit

from programde.screen.build import Parts, build_screen
from programde.screen.screen import Screen


def null_screen(
    seed: int,
    formula: str,
    *,
    treatment: str = "straight",
    outcome: str = "straight",
    n_cells: int = 6000,
    n_targets: int = 40,
    n_treated: int = 150,
    n_programs: int = 8,
) -> Screen:
    """True nulls; models ``straight``, ``curved`` (depth squared) or with ``slopes`` per batch."""
    rng = np.random.default_rng(seed)
    batch = rng.integers(0, 4, n_cells)
    depth = rng.normal(size=n_cells) + 0.3 * batch
    mito = rng.gamma(3.0, size=n_cells)
    z, m = (depth - depth.mean()) / depth.std(), (mito - 3.0) / np.sqrt(3.0)
    beyond = {
        "straight": 0 * z,
        "curved": (z**2 - 1) / np.sqrt(2),
        "slopes": z * np.array([-1.0, 1.0, -1.0, 1.0])[batch],
    }
    eta = np.outer(0.3 * z + 0.2 * m, rng.normal(1.0, 0.3, n_targets))
    eta += np.outer(0.5 * beyond[treatment], rng.normal(1.0, 0.3, n_targets))
    eta += rng.normal(0.0, 0.3, (4, n_targets))[batch]
    odds = np.log(n_treated / n_cells) - np.log(np.exp(eta).mean(axis=0))
    guides = rng.random(eta.shape) < expit(eta + odds)
    y = np.outer(0.3 * z - 0.2 * m, rng.normal(size=n_programs))
    y += np.outer(0.4 * beyond[outcome], np.resize([1.0, -1.0], n_programs))
    y += rng.normal(0.0, 0.2, (4, n_programs))[batch] + rng.standard_t(6, y.shape)
    usage = np.exp(0.5 * y)
    names = [f"guide{j}" for j in range(n_targets)]
    return build_screen(
        Parts(
            cell_names=[f"cell{i}" for i in range(n_cells)],
            usage=usage / usage.sum(axis=1, keepdims=True),
            covariates=pd.DataFrame(
                {"batch": [f"b{b}" for b in batch], "depth": depth, "mito": mito}
            ),
            guides=sparse.csc_matrix(guides.astype(np.int8)),
            guide_names=names,
            guide_to_target={name: f"T{j}" for j, name in enumerate(names)},
        ),
        formula=formula,
        moi="high",
    )
