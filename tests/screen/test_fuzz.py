"""Inputs damaged at random: each ends in a screen without NaN, or in one line of our own."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from programde.errors import ProgramDEError
from programde.io.anndata import read_h5ad, screen_from_anndata
from programde.io.cnmf import cnmf_usage
from programde.io.guide_tables import read_guide_tables
from programde.io.text_tables import read_table
from programde.screen.composition import Floor
from tests.io.conversions import write_cnmf, write_tables
from tests.screen.small_screens import small_adata

KEYS = ["usage_key", "covar_key", "guide_assignment_key", "guide_names_key", "guide2gene_key"]
NAMES = ["cnmf_usage", "covar", "guide_assignment", "guide_names", "guide2gene"]
ODD_VALUES = [
    None, 0, 1.5, "text", b"bytes", [], {}, {"a": 1}, [1, 2, 3], np.nan, np.array(3.0), np.empty(0),
    np.empty((0, 0)), np.empty((60, 0)), np.zeros((60, 3)), np.ones((60, 6)), np.ones(60),
    np.full((60, 4), np.nan), np.full((60, 4), "x"), np.full((60, 4), None),
    np.ones((60, 4), bool), np.ones((60, 2, 2)), np.ones((60, 4)) * 1j, np.ones((60, 4), "M8[s]"),
    sparse.csr_matrix((60, 6)), sparse.eye(60, format="coo"), pd.DataFrame(),
    pd.Series(dtype=float),
    pd.DataFrame({"a": ["x", None] * 30}), pd.DataFrame(np.ones((60, 6))), range(6), object(),
    pd.Series(["A"] * 6, index=[f"g{j}" for j in range(6)]), {f"g{j}": {} for j in range(6)},
    {f"g{j}": j for j in range(6)}, dict.fromkeys(range(6)), [None] * 6, ["g0"] * 6, [[1], [1, 2]],
]  # fmt: skip
ODD_NUMBERS = [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e308, 1e-320, 7.0]
ODD_OPTIONS = [
    {"batch_key": "nothing"}, {"batch_key": 3}, {"on_empty": "skip"}, {"on_empty": None},
    {"numeric_as_category_threshold": -5}, {"numeric_as_category_threshold": 1e9},
    {"numeric_as_category_threshold": 10**6}, {"numeric_as_category_threshold": "20"},
    {"numeric_as_category_threshold": np.nan}, {"floor": "quantile"}, {"floor": 1e-4},
    {"floor": Floor("fixed", eps=0.99)}, {"floor": Floor("quantile", eps_quantile=0.999)},
    {"floor": Floor("positive_quantile", eps_scale=1e300)}, {"add_intercept": False},
    {"standardize": None}, {"covar_columns": 7}, {"covar_columns": [["lane"]]},
    {"log1p_columns": ["lane"]}, {"covar_columns": ["lane", "lane"]}, {"usage_key": None},
    {"usage_key": 3}, {"covar_key": ["covar"]}, {"guide_names_key": ""}, {"covar_key": "lane"},
]  # fmt: skip


def outcome(make):
    """A screen that is whole, or the line of a ProgramDEError; anything else fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            screen = make()
        except ProgramDEError as error:
            line = str(error)
            screen = None
    if screen is None:
        assert "\n" not in line
        assert len(line) > 10
        return line
    assert np.isfinite(screen.clr).all()
    assert np.isfinite(screen.covariates).all()
    np.testing.assert_allclose(screen.usage.sum(axis=1), 1, atol=1e-9)
    assert screen.guides.shape == (screen.n_cells, len(screen.guide_names))
    assert screen.guide_to_target
    return screen


def put(adata, key, value):
    """Store under a key what AnnData's own checks would not let in."""
    for container in (adata.obsm, adata.uns):
        if key in container:
            del container[key]
    adata.uns[key] = value
    return adata


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("key", NAMES)
def test_odd_values_under_each_key(key):
    for value in ODD_VALUES:
        outcome(lambda value=value: screen_from_anndata(put(small_adata(), key, value)))


def mistaken(value):
    """A part of a screen turned, cut, doubled or emptied."""
    if isinstance(value, dict):
        return [{target: guide for guide, target in value.items()}, {}]
    if isinstance(value, list):
        return [value[:3], value * 2, []]
    rows = value.iloc if isinstance(value, pd.DataFrame) else value
    return [value.T, rows[:30], rows[:0], rows[np.tile(np.arange(60), 2)]]


@pytest.mark.parametrize("key", NAMES)
def test_parts_turned_cut_doubled_emptied_or_dropped(key):
    whole = small_adata()
    value = whole.obsm[key] if key in whole.obsm else whole.uns[key]
    for wrong in mistaken(value):
        line = outcome(lambda w=wrong: screen_from_anndata(put(small_adata(), key, w)))
        assert isinstance(line, str)
    for container in (whole.obsm, whole.uns):
        container.pop(key, None)
    assert key in outcome(lambda: screen_from_anndata(whole))


@pytest.mark.parametrize("options", ODD_OPTIONS, ids=str)
def test_odd_options(options):
    outcome(lambda: screen_from_anndata(small_adata(), **options))


@pytest.mark.parametrize("seed", range(40))
def test_damaged_numbers(seed):
    rng = np.random.default_rng(seed)
    adata = small_adata(seed=seed)
    for _ in range(rng.integers(1, 4)):
        what = rng.choice(["usage", "guides", "covariate", "names", "label", "row"])
        number = ODD_NUMBERS[rng.integers(len(ODD_NUMBERS))]
        i, j = rng.integers(60), rng.integers(4)
        if what == "usage":
            adata.obsm["cnmf_usage"][i, j] = number
        elif what == "guides":
            G = sparse.csr_matrix(adata.obsm["guide_assignment"]).toarray().astype(float)
            G[i, j] = number
            adata.obsm["guide_assignment"] = sparse.csr_matrix(G) if seed % 2 else G
        elif what == "covariate":
            adata.obsm["covar"].loc[f"c{i}", "depth"] = number
        elif what == "names":
            adata.uns["guide_names"][j] = adata.uns["guide_names"][rng.integers(6)]
        elif what == "label":
            column = adata.obsm["covar"]["batch"].astype(object)
            column.iloc[i] = [None, np.nan, 3, "D", True, b"A"][rng.integers(6)]
            adata.obsm["covar"]["batch"] = column
        else:
            adata.obsm["cnmf_usage"][i] = 0
    on_empty = "drop" if seed % 3 else "error"
    outcome(lambda: screen_from_anndata(adata, on_empty=on_empty))


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "whole.h5ad"
    small_adata().write_h5ad(path)
    return path


@pytest.mark.parametrize("seed", range(40))
def test_damaged_files(seed, whole_file, tmp_path):
    rng = np.random.default_rng(seed)
    data = bytearray(whole_file.read_bytes())
    if seed % 2:
        data = data[: rng.integers(len(data))]
    else:
        at = rng.integers(len(data), size=200)
        for k in at:
            data[k] = rng.integers(256)
    path = tmp_path / "damaged.h5ad"
    path.write_bytes(bytes(data))
    outcome(lambda: read_h5ad(path))


@pytest.mark.parametrize("seed", range(40))
def test_damaged_text(seed, tmp_path):
    rng = np.random.default_rng(seed)
    adata = small_adata()
    order = np.arange(60)
    write_cnmf(adata, tmp_path, order, "k_4.dt_0_5")
    paths = write_tables(adata, tmp_path, order)
    paths["usage"] = tmp_path / "run.usages.k_4.dt_0_5.consensus.txt"
    target = paths[["usage", "covariates", "assignments", "guide_metadata"][seed % 4]]
    data = bytearray(target.read_bytes())
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(len(data)))
        data[at : at + int(rng.integers(0, 30))] = rng.choice(
            [b"", b"\n", b"\t", b",", b"nan", b'"', b"\xff\x00", b"1e999", b"x"]
        )
    if seed % 5 == 0:
        data = data[: rng.integers(len(data))]
    target.write_bytes(bytes(data))

    def make():
        usage = cnmf_usage(paths["usage"])
        return read_guide_tables(
            usage,
            paths["assignments"],
            paths["guide_metadata"],
            read_table(paths["covariates"]),
            on_missing="drop" if seed % 3 else "error",
        )

    outcome(make)


def test_the_undamaged_are_screens(whole_file):
    assert not isinstance(outcome(lambda: read_h5ad(whole_file)), str)
    assert not isinstance(outcome(lambda: screen_from_anndata(small_adata())), str)
