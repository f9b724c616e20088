import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError
from programde.io.anndata import screen_from_anndata
from programde.screen.store import load_screen, save_screen, screen_arrays, screen_from_arrays
from tests.screen.small_screens import small_adata


def the_screen(kind: str):
    adata = small_adata()
    if kind == "array covariates":
        adata.obsm["covar"] = adata.obsm["covar"][["depth"]].to_numpy()
    if kind == "odd names":
        names = [f"zelle µ/{i}" for i in range(60)]
        adata.obs_names = names
        covar = adata.obsm["covar"]
        covar["mixed"] = np.resize(np.array([1, "x", True], dtype=object), 60)
        covar["flag"] = np.resize([True, False, False, False], 60)
    return screen_from_anndata(adata)


def assert_equal(a, b):
    for name in ("usage", "clr", "covariates"):
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)
    for part in ("indices", "indptr", "data"):
        np.testing.assert_array_equal(getattr(a.guides, part), getattr(b.guides, part))
    for name in ("floor", "covariate_names", "guide_names", "guide_to_target", "program_names",
                 "cell_names", "notes"):  # fmt: skip
        assert getattr(a, name) == getattr(b, name)
    assert (a.batch is None) == (b.batch is None)
    assert a.batch is None or a.batch.tolist() == b.batch.tolist()
    if a.covariate_table is None:
        assert b.covariate_table is None
    else:
        pd.testing.assert_frame_equal(a.covariate_table, b.covariate_table)


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("kind", ["plain", "array covariates", "odd names"])
def test_round_trip(kind, mmap, tmp_path):
    screen = the_screen(kind)
    save_screen(screen, tmp_path / "new" / "screen")
    assert_equal(load_screen(tmp_path / "new" / "screen", mmap=mmap), screen)
    assert_equal(screen_from_arrays(screen_arrays(screen), screen.covariate_table), screen)


def test_same_bytes_and_nothing_left_over(tmp_path):
    for name in ("a", "b", "b"):
        save_screen(the_screen("plain"), tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == sorted(p.name for p in (tmp_path / "b").iterdir())
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_foreign_folders_are_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("words")
    for path in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt"):
        with pytest.raises(InputError, match="choose another folder"):
            save_screen(the_screen("plain"), path)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "words"


def test_damaged_folders(tmp_path):
    folder = tmp_path / "s"
    with pytest.raises(InputError, match="not a stored screen"):
        load_screen(folder)
    save_screen(the_screen("plain"), folder)
    (folder / "clr.npy").write_bytes(b"x")
    with pytest.raises(InputError, match="damaged"):
        load_screen(folder)
    (folder / "clr.npy").unlink()
    with pytest.raises(InputError, match=r"clr\.npy"):
        load_screen(folder)
    (folder / "screen.json").write_text('{"format": "else"}')
    with pytest.raises(InputError, match="not of format"):
        load_screen(folder)
    arrays = screen_arrays(the_screen("plain"))
    del arrays["clr"]
    with pytest.raises(InputError, match="lacks clr"):
        screen_from_arrays(arrays)
