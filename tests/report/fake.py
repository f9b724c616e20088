"""Made-up tables for the tests of pictures and pages."""

import numpy as np
import pandas as pd
from scipy import stats


def make_results(n_targets=25, n_programs=15, n_true=5, seed=0):
    """A tidy results table and the true effects (targets x programs) behind it."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((n_targets, n_programs))
    for target in rng.choice(n_targets, n_true, replace=False):
        size = min(3, n_programs)
        truth[target, rng.choice(n_programs, size, replace=False)] = rng.uniform(-1.5, 1.5, size)
    se = rng.uniform(0.08, 0.2, (n_targets, 1))
    effect = truth + se * rng.standard_normal((n_targets, n_programs))
    p = 2 * stats.norm.sf(np.abs(effect / se))
    targets = [f"GENE{i}" for i in range(n_targets)]
    programs = [f"program_{k}" for k in range(n_programs)]
    results = pd.DataFrame(
        {
            "target": np.repeat(targets, n_programs),
            "program": np.tile(programs, n_targets),
            "effect": effect.ravel(),
            "effect_se": np.repeat(se.ravel(), n_programs),
            "p_raw": p.ravel(),
            "p_value": p.ravel(),
            "q_value": stats.false_discovery_control(p.ravel()),
            "n_treated": np.repeat(rng.integers(20, 900, n_targets), n_programs),
        }
    )
    return results, pd.DataFrame(truth, targets, programs)


def make_p_table(n_units, n_programs=20, spread=1.0, seed=0, prefix="unit"):
    rng = np.random.default_rng(seed)
    p = 2 * stats.norm.sf(np.abs(spread * rng.standard_normal((n_units, n_programs))))
    units = [f"{prefix}{i}" for i in range(n_units)]
    return pd.DataFrame(p, units, [f"program_{k}" for k in range(n_programs)])
