"""The synthetic screens of the package, under the name by which the original's tests know them."""

from programde.compat.synthetic import (
    MockAdata,
    SyntheticTruth,
    make_sceptre_style_synth,
    make_synthetic_adata,
)

__all__ = ["MockAdata", "SyntheticTruth", "make_sceptre_style_synth", "make_synthetic_adata"]
