"""Parts of a screen that are no plain arrays: what they hold is said in one line."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from programde.errors import InputError
from programde.io.anndata import screen_from_anndata
from tests.screen.small_screens import small_adata

PARTS = pd.MultiIndex.from_arrays([[1], [2]])
MASK = np.eye(60, 6, dtype=bool)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("cnmf_usage", np.ma.masked_array(np.ones((60, 4)), MASK[:, :4]), "4 NaN or infinite"),
        ("cnmf_usage", np.ones((60, 4)) * 1j, "complex numbers"),
        ("cnmf_usage", sparse.csr_matrix(np.ones((60, 4)) * 1j), "complex numbers"),
        ("cnmf_usage", np.ones((60, 4), "M8[s]"), "dates"),
        ("cnmf_usage", np.ones((60, 4), "m8[s]"), "time spans"),
        ("cnmf_usage", pd.DataFrame(np.ones((60, 1)), columns=PARTS),
         "columns have names of 2 parts"),
        ("covar", np.ma.masked_array(np.ones((60, 2)), MASK[:, :2]), "1 of 60 values are missing"),
        ("covar", np.ones((60, 2)) * 1j, "complex numbers"),
        ("covar", np.ones((60, 2), "m8[s]"), "time spans"),
        ("covar", pd.DataFrame({"x": [[1]] * 60}), "holds values of type list"),
        ("covar", pd.DataFrame({"x": pd.to_timedelta(np.arange(60))}), "time spans"),
        ("covar", pd.DataFrame(np.ones((60, 1)), columns=PARTS),
         "columns have names of 2 parts"),
        ("guide_assignment", np.ma.masked_array(np.ones((60, 6)), MASK), "6 NaN"),
        ("guide2gene", {f"g{j}": ["T0", "T1"] for j in range(6)}, "6 guide.* several targets"),
        ("guide2gene", pd.DataFrame({"t": ["A"]}, pd.MultiIndex.from_arrays([["a"], ["b"]])),
         "rows have names of 2 parts"),
    ],
)  # fmt: skip
def test_masked_complex_dates_lists_and_names_of_several_parts(key, value, message):
    adata = small_adata()
    for container in (adata.obsm, adata.uns):
        container.pop(key, None)
    adata.uns[key] = value
    with pytest.raises(InputError, match=message) as caught:
        screen_from_anndata(adata)
    assert "\n" not in str(caught.value)
