"""The fold change of one program alone, from its shift in centred log-ratios."""

from __future__ import annotations

import numpy as np
import pytest

from programde.analysis.perturbnmf import log2_fold_change


@pytest.mark.parametrize("n_programs", [2, 15, 60])
def test_a_program_that_doubles_alone_has_a_log2_fold_change_of_one(n_programs):
    generator = np.random.default_rng(n_programs)  # a fixed case, no statistic
    before = generator.dirichlet(np.ones(n_programs))
    after = before.copy()
    after[0] *= 2.0

    def clr(usage: np.ndarray) -> np.ndarray:
        logs = np.log(usage / usage.sum())
        return logs - logs.mean()

    beta = (clr(after) - clr(before))[0]
    assert log2_fold_change(np.array([beta]), n_programs)[0] == pytest.approx(1.0, rel=1e-12)
