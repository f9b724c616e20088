"""Screens that stay in their file: the same screen, whatever the file holds its parts in."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import programde.screen.matrix_rows as matrix_rows
import programde.screen.stored_usage as stored_usage
from programde.errors import InputError, OptionError, ProgramDEWarning
from programde.io.anndata import read_h5ad
from programde.io.mudata import read_h5mu
from programde.memory import budget, memory_bytes, own_memory
from programde.screen.chosen import brought_in, chosen_cells, is_stored, let_go
from programde.screen.composition import Floor
from programde.screen.matrix_rows import NotInMemory
from programde.screen.synthetic import make_sceptre_style_synth
from tests.io.conversions import mudata_of
from tests.screen.compare import assert_same_screen

pytestmark = [
    pytest.mark.filterwarnings("ignore::programde.errors.ProgramDEWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mudata"),
]
#: Nothing fits, so all usages stay in their file.
NOTHING = {"memory": 1.0, "usage_key": "usage"}


def made():
    return make_sceptre_style_synth(N=700, K=5, n_target_genes=6, seed=3)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks, and a sample that leaves a quantile to be found."""
    monkeypatch.setattr(matrix_rows, "BLOCK", 100)
    monkeypatch.setattr(matrix_rows, "READ", 3000.0)
    monkeypatch.setattr(stored_usage, "SAMPLE", 50)


def both(adata, folder, **keys):
    adata.write_h5ad(folder / "s.h5ad")
    stored = read_h5ad(folder / "s.h5ad", **NOTHING, **keys)
    assert is_stored(stored)
    return stored, read_h5ad(folder / "s.h5ad", usage_key="usage", memory="1TB", **keys)


def as_single(adata):
    adata.obsm["usage"] = adata.obsm["usage"].astype(np.float32)


def as_sparse(adata):
    few = np.where(adata.obsm["usage"] < 0.1, 0.0, adata.obsm["usage"])
    adata.obsm["usage"] = sparse.csr_matrix(few + 1e-3 * (few.sum(axis=1, keepdims=True) == 0))


def as_table(adata):
    adata.obsm["usage"] = pd.DataFrame(
        adata.obsm["usage"], adata.obs_names, [f"P{k}" for k in range(5)]
    )


def unclosed(adata):
    adata.obsm["usage"] = adata.obsm["usage"] * np.linspace(0.5, 40, 700)[:, None]


def with_empty(adata):
    adata.obsm["usage"][[3, 250, 699]] = 0.0


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("how", [as_single, as_sparse, as_table, unclosed, with_empty])
def test_a_stored_screen_is_the_one_in_memory(how, tmp_path):
    adata = made()
    how(adata)
    stored, held = both(adata, tmp_path, on_empty="drop")
    assert stored.floor == held.floor
    assert stored.notes == held.notes
    assert_same_screen(stored, held, tol=1e-11)
    for name in ("usage", "clr", "unfloored"):
        assert (np.asarray(getattr(stored, name)) == getattr(held, name)).all()
    some = np.array([5, 3, 400])
    assert (stored.clr[some] == held.clr[some]).all()
    assert (stored.usage[600] == held.usage[600]).all()
    part = chosen_cells(stored, np.arange(10, 400))
    assert_same_screen(part, chosen_cells(held, np.arange(10, 400)), tol=1e-11)
    assert_same_screen(brought_in(part), part)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("level", [0.0, 1e-4, 0.02, 0.3, 0.77])
@pytest.mark.parametrize("kind", ["quantile", "positive_quantile"])
def test_a_quantile_is_exact(kind, level, tmp_path):
    """Against numpy, with ties at the quantile itself in many entries."""
    adata = made()
    usage = adata.obsm["usage"].round(2)
    usage[:, 0] += 0.01
    adata.obsm["usage"] = usage / usage.sum(axis=1, keepdims=True)
    floor = Floor(kind, eps_quantile=level)
    stored, held = both(adata, tmp_path, floor=floor)
    assert stored.floor == held.floor
    assert stored.notes == held.notes


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("transform", ["hellinger", "none"])
def test_scales_without_a_floor(transform, tmp_path):
    adata = made()
    if transform == "none":
        adata.obsm["usage"] -= 0.2
    stored, held = both(adata, tmp_path, floor=Floor("none", transform=transform))
    assert stored.unfloored is None
    assert (np.asarray(stored.clr) == held.clr).all()


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(
    ("formula", "keys"),
    [
        ("linear", {}),
        ("auto", {"standardize": False}),
        ("auto", {"add_intercept": False}),
        ("~ batch * log_depth", {}),
    ],
)
def test_covariates_row_by_row(formula, keys, tmp_path):
    adata = made()
    adata.obsm["covar"] = adata.obsm["covar"].assign(
        few=np.arange(700) % 3, flag=np.arange(700) % 7 == 0, same=4.0,
        twice=2 * adata.obsm["covar"]["log_depth"],
    )  # fmt: skip
    stored, held = both(adata, tmp_path, formula=formula, **keys)
    assert stored.notes == held.notes
    assert_same_screen(stored, held, tol=0.0 if formula == "linear" else 1e-10)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda u: u.__setitem__((5, 2), np.nan), r"1 NaN or infinite value\(s\) in 1 cell"),
        (lambda u: u.__setitem__((650, 2), -1), r"1 negative value\(s\) in 1 cell.*transform=none"),
        (
            lambda u: u.__setitem__(slice(0, 9), 0.0),
            r"all usages are 0 in 9 of 700 cell\(s\): cell",
        ),
        (lambda u: u.__setitem__(slice(None), 0.2), "is not below the largest usage"),
    ],
)
def test_the_same_is_refused_in_the_same_words(spoil, message, tmp_path):
    adata = made()
    spoil(adata.obsm["usage"])
    adata.write_h5ad(tmp_path / "s.h5ad")
    told = []
    for memory in (1.0, "1TB"):
        with pytest.raises(InputError, match=message) as error:
            read_h5ad(tmp_path / "s.h5ad", usage_key="usage", memory=memory)
        told.append(str(error.value))
    assert told[0] == told[1]


def test_rows_in_another_order_are_refused(tmp_path):
    adata = made()
    adata.write_h5ad(tmp_path / "s.h5ad")
    import h5py

    with h5py.File(tmp_path / "s.h5ad", "r+") as file:
        names = file["obsm/covar"][file["obsm/covar"].attrs["_index"]]
        if hasattr(names, "keys"):  # values and a mask, from anndata 0.13 on
            names = names["values"]
        names[:2] = names[:2][::-1]
    with pytest.raises(InputError, match=r"'covar' names its row 0 .*where obs has"):
        read_h5ad(tmp_path / "s.h5ad", **NOTHING)


@pytest.mark.slow
@pytest.mark.brief
def test_a_matrix_that_is_not_in_memory_says_so(tmp_path, monkeypatch):
    stored, _ = both(made(), tmp_path)
    with pytest.raises(NotInMemory, match=r"usages of 700 cells x 5 are not in memory.*'mean'"):
        stored.usage.mean()
    monkeypatch.setattr(matrix_rows, "free_memory", lambda: 100.0)
    with pytest.raises(NotInMemory, match=r"0\.0 GB are free; take fewer cells"):
        np.asarray(stored.usage)


@pytest.mark.slow
@pytest.mark.brief
def test_gathered_rows_come_in_once_and_make_room(tmp_path):
    let_go()
    stored, held = both(made(), tmp_path)
    reads = []
    source = stored.usage.source
    read = type(source).read
    type(source).read = lambda self, low, high: reads.append(low) or read(self, low, high)
    try:
        parts = [chosen_cells(stored, np.arange(low, low + 50)) for low in (0, 200, 400)]
        assert not reads
        for _ in range(2):
            assert (parts[0].clr[3:5] == held.clr[3:5]).all()
            assert (parts[0].usage[[7]] == held.usage[[7]]).all()
        first = len(reads)
        assert (parts[1].clr[:] == held.clr[200:250]).all()
        assert (parts[2].clr[:] == held.clr[400:450]).all()
        before = len(reads)
        assert (parts[0].clr[:] == held.clr[:50]).all()  # had made room, and comes in again
        assert len(reads) == before + first
    finally:
        type(source).read = read
        let_go()


@pytest.mark.slow
@pytest.mark.brief
def test_a_stored_screen_goes_to_other_processes(tmp_path):
    stored, held = both(made(), tmp_path)
    again = pickle.loads(pickle.dumps(stored.usage))
    assert (again[:9] == held.usage[:9]).all()
    (tmp_path / "s.h5ad").write_bytes(b"")
    with pytest.raises(InputError, match="is not what it was when it was read"):
        pickle.loads(pickle.dumps(stored.usage))[:9]


def test_an_amount_of_memory():
    assert memory_bytes("1.5GB") == memory_bytes(1.5e9) == memory_bytes("1500 MB") == 1.5e9
    assert budget(2) == 2.0
    for wrong in ("much", "-1GB", 0):
        with pytest.raises(OptionError, match="is no amount of memory"):
            memory_bytes(wrong)


def test_half_of_what_is_free_does_not_shrink_as_a_run_holds_more(monkeypatch):
    """The last part of a run may take what the first could."""
    monkeypatch.setattr("programde.memory.free_memory", lambda: 4e9 - own_memory())
    assert budget(None) == pytest.approx(2e9, rel=0.01)
    held = np.ones(10**7)
    assert own_memory() > 0.9 * held.nbytes
    assert budget(None) == pytest.approx(2e9, rel=0.01)


@pytest.mark.slow
@pytest.mark.brief
def test_notes_are_warnings_too(tmp_path):
    adata = made()
    unclosed(adata)
    adata.write_h5ad(tmp_path / "s.h5ad")
    with pytest.warns(ProgramDEWarning, match="700 of 700 rows did not sum to 1"):
        read_h5ad(tmp_path / "s.h5ad", **NOTHING)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("key", [None, "usage"])
@pytest.mark.parametrize("lost", [0, 40])
def test_usages_of_a_mudata(key, lost, tmp_path):
    """Guides beside them lack some cells, which are left out."""
    adata = made()
    adata.obsm["usage"] = adata.obsm["usage"].astype(np.float32)
    guides = AnnData(
        adata.obsm["guide_assignment"].tocsr(),
        obs=pd.DataFrame(index=adata.obs_names),
        var=pd.DataFrame(
            {"intended_target_name": list(adata.uns["guide2gene"].values())},
            index=adata.uns["guide_names"],
        ),
    )
    home = AnnData(
        adata.obsm["usage"] if key is None else np.zeros((700, 1)),
        obs=pd.DataFrame(index=adata.obs_names),
        obsm={"covar": adata.obsm["covar"], "usage": adata.obsm["usage"]},
    )
    path = tmp_path / "s.h5mu"
    mudata_of({"cNMF": home, "guide": guides[lost:].copy()}).write(path)
    keys = {"usage_key": key, "guide_modality": "guide", "on_missing": "drop"}
    stored = read_h5mu(path, memory=1.0, **keys)
    assert is_stored(stored)
    held = read_h5mu(path, memory="1TB", **keys)
    assert (stored.n_cells, is_stored(held)) == (700 - lost, False)
    assert stored.notes == held.notes
    assert_same_screen(stored, held, tol=1e-11)
    other = tmp_path / "other.h5mu"
    mudata_of({"cNMF": home[::-1].copy(), "guide": guides}).write(other)
    assert is_stored(read_h5mu(other, memory=1.0, **keys))  # the usages' order is the screen's
