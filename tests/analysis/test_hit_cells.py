"""The cells behind a hit, against a count by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from programde.analysis.hit_cells import hit_cells
from programde.crt.control_group import ControlGroup
from programde.io.anndata import screen_from_anndata
from tests.screen.small_screens import small_adata

SCREEN = screen_from_anndata(small_adata())
ALL = ControlGroup("complement", "asked for", None)


def first_target():
    return next(iter(SCREEN.target_columns()))


@pytest.mark.parametrize("by_condition", [False, True])
def test_usages_and_batches_are_those_of_the_cells(by_condition):
    target, program = first_target(), SCREEN.program_names[1]
    screen = replace(SCREEN, condition=np.resize(["a", "b"], SCREEN.n_cells).astype(object))
    hits = pd.DataFrame({"target": [target], "program": [program]})
    here = np.ones(screen.n_cells, dtype=bool)
    if by_condition:
        hits["condition"] = "b"
        here = screen.condition == "b"
    (found,) = hit_cells(screen, hits, ALL, n_quantiles=4)
    treated = np.zeros(screen.n_cells, dtype=bool)
    treated[screen.treated_cells(screen.target_units([target])[0])] = True
    usage = screen.usage if screen.unfloored is None else screen.unfloored
    values = usage[:, 1]
    assert found.n_treated == (treated & here).sum()
    assert found.n_control == (~treated & here).sum()
    at = [0.125, 0.375, 0.625, 0.875]
    np.testing.assert_allclose(found.treated, np.quantile(values[treated & here], at))
    np.testing.assert_allclose(found.control, np.quantile(values[~treated & here], at))
    for row in found.batches.itertuples():
        mine = here & (screen.batch == row.batch)
        one, other = screen.clr[mine & treated, 1], screen.clr[mine & ~treated, 1]
        assert row.n_treated == one.size
        assert row.effect == pytest.approx(one.mean() - other.mean())
        se = np.sqrt(one.var(ddof=1) / one.size + other.var(ddof=1) / other.size)
        assert row.effect_se == pytest.approx(se)
    assert len(found.batches)


def test_excluded_guides_treat_nobody():
    target = first_target()
    guides = SCREEN.target_units([target])[0].guides
    hits = pd.DataFrame({"target": [target], "program": SCREEN.program_names[:1]})
    (found,) = hit_cells(SCREEN, hits, ALL, exclude_guides=guides[:1])
    rest = SCREEN.unit(target, guides[1:])
    assert found.n_treated == SCREEN.treated_cells(rest).size
