"""The two real screens, read in every form; skipped where their files are absent."""

import warnings

import anndata
import numpy as np
import pytest

from programde.io.anndata import read_h5ad
from programde.io.cnmf import read_cnmf
from programde.io.mudata import read_h5mu
from programde.screen.composition import Floor
from programde.screen.input_report import input_report
from tests.io.conversions import guide_modality, one_modality, write_cnmf, write_tables
from tests.real_screens import real_screen
from tests.screen.compare import assert_same_screen

pytestmark = pytest.mark.slow

FLOOR = Floor("positive_quantile")


@pytest.fixture(params=["papalexi_thp1", "schraivogel_tapseq"])
def path(request):
    return real_screen(request.param)


def write_h5mu(modalities, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata announces its own changes of defaults
        import mudata

        mudata.MuData(modalities).write(path)
    return path


def test_every_form_gives_the_same_screen(path, tmp_path):
    adata = anndata.read_h5ad(path)
    screen = read_h5ad(path, floor=FLOOR)
    same = np.arange(adata.n_obs)
    shuffled = np.random.default_rng(0).permutation(adata.n_obs)

    h5mu = write_h5mu(one_modality(adata, same), tmp_path / "one.h5mu")
    columns = {"covar_columns": list(adata.obsm["covar"])}
    assert_same_screen(read_h5mu(h5mu, floor=FLOOR, **columns), screen, tol=1e-9)

    h5mu = write_h5mu(guide_modality(adata, shuffled), tmp_path / "two.h5mu")
    keys = {"usage_modality": "gene", "usage_key": "cnmf_usage", "guide_layer": "assigned"}
    assert_same_screen(read_h5mu(h5mu, floor=FLOOR, **keys), screen, tol=1e-9)

    write_cnmf(adata, tmp_path, same, f"k_{screen.n_programs}.dt_0_5")
    from_cnmf = read_cnmf(tmp_path, screen.n_programs, 0.5, screen=path, floor=FLOOR)
    assert_same_screen(from_cnmf, screen, tol=1e-9)
    tables = write_tables(adata, tmp_path, shuffled)
    tables_too = read_cnmf(
        tmp_path, screen.n_programs, 0.5, **tables, floor=FLOOR, guide_threshold=2
    )
    assert_same_screen(tables_too, screen, tol=1e-9)


def test_what_came_in(path):
    report = input_report(read_h5ad(path, floor=FLOOR))
    cells, programs, targets = {"papalexi_thp1": (20665, 15, 26)}.get(path.stem, (21315, 10, 15))
    numbers = report.numbers
    assert (numbers["cells"], numbers["programs"]) == (cells, programs)
    assert numbers["targets"] == targets
    assert numbers["guides_per_cell_median"] == 1
    assert 0.2 < numbers["usages_at_floor"] < 0.4
    assert numbers["covariate_condition_number"] < 100
