"""Calls, names, multiplicity, spectra and guides of several targets, behind every door."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from programde.errors import InputError, OptionError, ProgramDEWarning
from programde.screen.store import load_screen, save_screen
from tests.io.every_reader import DOORS, doors
from tests.screen.compare import assert_same_screen
from tests.screen.small_screens import small_adata

#: Zarr takes as long as all others together.
ZARR = pytest.param("zarr", marks=pytest.mark.slow)
EVERY = [ZARR if door == "zarr" else door for door in DOORS]

ODD_NAMES = [
    "$\\frac{1}{2}$", "a_b%c", "it's \"quoted\"", "path/to/x", "\\back", "x" * 300, "🧬", "שלום",
    "=1+1", "@cmd", "-3", "01", "1", "NA", "<b>&amp;</b>", "a,b;c|d",
]  # fmt: skip


def counts_of(adata, seed=7):
    """UMI counts: 20 to 80 where a guide is, 1 to 4 in as many other entries."""
    rng = np.random.default_rng(seed)
    calls = adata.obsm["guide_assignment"].toarray() > 0
    ambient = (rng.random(calls.shape) < 0.3) & ~calls
    umi = np.where(calls, rng.integers(20, 80, calls.shape), 0)
    return calls, np.where(ambient, rng.integers(1, 5, calls.shape), umi).astype(np.float32)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("door", EVERY)
def test_a_matrix_of_counts_is_called_by_the_threshold_or_told(door, tmp_path):
    adata = small_adata()
    calls, umi = counts_of(adata)
    adata.obsm["guide_assignment"] = sparse.csr_matrix(umi)
    read = doors(adata, tmp_path, door)
    with pytest.warns(ProgramDEWarning, match=r"holds counts, not calls .* 1: \d+.*guide_thres"):
        loose = read()
    np.testing.assert_array_equal(loose.guides.toarray(), umi > 0)
    assert loose.ambiguous is None
    strict = read(guide_threshold=20)
    np.testing.assert_array_equal(strict.guides.toarray(), calls)
    between = read(guide_threshold=20, guide_absent_below=3)
    np.testing.assert_array_equal(between.guides.toarray(), calls)
    np.testing.assert_array_equal(between.ambiguous.toarray(), (umi >= 3) & ~calls)
    assert any("neither present nor absent" in note for note in between.notes)
    with pytest.raises(InputError, match=r"none of the .* entries .* reaches it"):
        read(guide_threshold=1000)
    with pytest.raises(OptionError, match="must be below guide_threshold"):
        read(guide_threshold=2, guide_absent_below=2)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("door", EVERY)
def test_probabilities_are_told_and_calls_are_silent(door, tmp_path):
    adata = small_adata()
    plain = doors(adata, tmp_path, door)()  # a warning would be an error
    calls = adata.obsm["guide_assignment"].toarray() > 0
    rng = np.random.default_rng(1)
    chance = np.where(calls, 0.97, rng.choice([0.0, 0.02], calls.shape))
    adata.obsm["guide_assignment"] = sparse.csr_matrix(chance)
    (tmp_path / "b").mkdir()
    read = doors(adata, tmp_path / "b", door)
    with pytest.warns(ProgramDEWarning, match="holds values between 0 and 1, not calls"):
        read()
    assert_same_screen(read(guide_threshold=0.5), plain, tol=1e-12)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("door", EVERY)
def test_names_are_text(door, tmp_path):
    adata = small_adata(n=160, n_guides=16)
    names = dict(zip(adata.uns["guide_names"], ODD_NAMES, strict=True))
    adata.uns["guide_names"] = np.array([names[g] for g in adata.uns["guide_names"]], dtype=object)
    targets = [f"target {name}" for name in ODD_NAMES[:-4]] + ["non-targeting"] * 4
    adata.uns["guide2gene"] = dict(zip(ODD_NAMES, targets, strict=True))
    if door not in ("AnnData", "guide tables", "text tables", "original", "MuData of guides"):
        # a key of an HDF5 group may hold no slash: parallel targets are what such files have
        del adata.uns["guide2gene"]
        adata.uns["guide_targets"] = np.array(targets, dtype=object)
    adata.obs_names = [f"{ODD_NAMES[i % 16]} {i}" for i in range(160)]
    adata.obsm["covar"].index = adata.obs_names
    lanes = np.resize(["01", "1", "=x", "NA lane"], 160)
    adata.obsm["covar"]["batch"] = pd.Categorical(lanes)
    if door in ("h5mu, guides apart", "MuData of guides"):
        adata.uns["guide2gene"] = dict(zip(ODD_NAMES, targets, strict=True))
    if door in ("h5mu", "cnmf, h5mu"):
        adata.uns["guide2gene"] = dict(zip(ODD_NAMES, targets, strict=True))
    screen = doors(adata, tmp_path, door)()
    assert screen.guide_names == ODD_NAMES
    assert list(screen.guide_to_target.values()) == targets
    assert screen.cell_names == list(adata.obs_names)
    assert screen.batch.tolist() == lanes.tolist()
    save_screen(screen, tmp_path / "stored")
    assert_same_screen(load_screen(tmp_path / "stored"), screen)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("door", EVERY)
def test_what_was_a_missing_value_is_no_name(door, tmp_path):
    adata = small_adata()
    adata.uns["guide2gene"] = {**adata.uns["guide2gene"], "g2": "nan"}
    with pytest.raises(InputError, match=r"targets of guides: 1 of 6 are 'nan'.*of g2\)") as caught:
        doors(adata, tmp_path, door)()
    assert "\n" not in str(caught.value)
    adata = small_adata()
    adata.obsm["covar"]["batch"] = adata.obsm["covar"]["batch"].astype(str)
    adata.obsm["covar"].loc[["c3", "c7"], "batch"] = "nan"
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match=r"'batch': 2 of 60 .*(c3, c7|first: c3)"):
        doors(adata, tmp_path / "b", door)()


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("door", EVERY)
def test_what_is_known_of_multiplicity(door, tmp_path):
    adata = small_adata()
    read = doors(adata, tmp_path, door)
    assert read().moi is None
    assert read(moi="high").moi == "high"
    with pytest.raises(OptionError, match="moi='medium' is not known"):
        read(moi="medium")


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("door", ["AnnData", "h5ad", ZARR, "cnmf, h5ad", "original"])
def test_multiplicity_stated_in_uns(door, tmp_path):
    adata = small_adata()
    adata.uns["moi"] = np.array(["Low"], dtype=object)
    read = doors(adata, tmp_path, door)
    assert read().moi == "low"
    assert read(moi="high").moi == "high"
    adata.uns["moi"] = 0.3
    (tmp_path / "b").mkdir()
    with pytest.warns(ProgramDEWarning, match=r"moi='0\.3', which is neither high nor low"):
        assert doors(adata, tmp_path / "b", door)().moi is None


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("door", [d for d in EVERY if d != "original"])
def test_a_table_of_spectra(door, tmp_path):
    adata = small_adata()
    table = pd.DataFrame(
        np.arange(12.0).reshape(4, 3), [f"program_{k}" for k in (2, 0, 3, 1)], ["G1", "01", "NA"]
    )
    table.to_csv(tmp_path / "spectra.tsv", sep="\t")
    read = doors(adata, tmp_path, door)
    for given in (table, table.T, tmp_path / "spectra.tsv"):
        screen = read(spectra=given)
        assert list(screen.spectra.index) == screen.program_names
        assert list(screen.spectra.columns) == ["G1", "01", "NA"]
        assert screen.spectra["G1"].tolist() == [3, 9, 0, 6]
    save_screen(screen, tmp_path / "stored")
    pd.testing.assert_frame_equal(load_screen(tmp_path / "stored").spectra, screen.spectra)
    with pytest.raises(InputError, match=r"spectra: neither rows .* name all programs"):
        read(spectra=table.drop("program_2"))
    assert read().spectra is None


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("door", EVERY)
def test_guides_of_two_targets(door, tmp_path):
    adata = small_adata()
    adata.uns["guide2gene"] = {**adata.uns["guide2gene"], "g1": "T0|T1"}
    read = doors(adata, tmp_path, door)
    with pytest.raises(InputError, match=r"1 guide\(s\) have several targets: g1 \(T0, T1\)"):
        read()
    with pytest.warns(ProgramDEWarning, match="1 guides of several targets count for each"):
        both = read(multi_target_guides="both")
    assert both.target_columns() == {"T0": [0, 1], "T1": [1, 2, 3], "NTC": [4, 5]}
    with pytest.warns(ProgramDEWarning, match="are of one target, the whole set"):
        whole = read(multi_target_guides="whole")
    assert whole.target_columns() == {"T0": [0], "T0|T1": [1], "T1": [2, 3], "NTC": [4, 5]}
    save_screen(both, tmp_path / "stored")
    assert load_screen(tmp_path / "stored").target_columns() == both.target_columns()
