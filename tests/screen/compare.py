"""Two screens compared part by part."""

from __future__ import annotations

import numpy as np

from programde.screen.screen import Screen


def assert_same_screen(a: Screen, b: Screen, tol: float = 0.0) -> None:
    """All parts equal: numbers within `tol`, names and guides exactly; notes may differ."""
    for name in ("usage", "clr", "covariates"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=0, atol=tol)
    assert (a.guides != b.guides).nnz == 0
    if a.covariate_tiers is not None and b.covariate_tiers is not None:
        assert a.covariate_tiers.tolist() == b.covariate_tiers.tolist()
    for name in ("covariate_names", "guide_names", "program_names", "cell_names"):
        assert list(getattr(a, name)) == list(getattr(b, name))
    assert dict(a.guide_to_target) == dict(b.guide_to_target)
    assert (a.batch is None) == (b.batch is None)
    assert a.batch is None or a.batch.tolist() == b.batch.tolist()
    for name in ("condition", "ambiguous"):
        assert (getattr(a, name) is None) == (getattr(b, name) is None), name
    assert a.condition is None or a.condition.tolist() == b.condition.tolist()
    assert a.ambiguous is None or (a.ambiguous != b.ambiguous).nnz == 0
