"""Ranges of options that nothing else would notice before a run is over."""

from __future__ import annotations

import pytest

from programde import OLS, Bernoulli, RunOptions
from programde.errors import OptionError
from programde.io.options import SyntheticOptions


@pytest.mark.parametrize("key", ["min_treated", "min_control"])
def test_a_group_of_no_cells_is_no_group(key):
    with pytest.raises(OptionError, match=f"{key}=0 is out of range: must be >= 1"):
        RunOptions(OLS(), Bernoulli(), **{key: 0})


@pytest.mark.parametrize(("key", "value"), [("ntc_frac_guides", 1.0), ("frac_causal_genes", -0.1)])
def test_shares_are_shares(key, value):
    with pytest.raises(OptionError, match=f"{key}={value} is out of range"):
        SyntheticOptions(**{key: value})
