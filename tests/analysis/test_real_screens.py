"""The two real screens through the engine; skipped, saying so, where the files are absent."""

import warnings

import numpy as np
import pytest
from scipy.stats import binom

from programde.analysis.ntc_groups import run_ntc_groups
from programde.analysis.targets import RunOptions, run_targets
from programde.calibration.empirical import empirical_p
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from programde.errors import ProgramDEWarning
from programde.io.anndata import read_h5ad
from tests.real_screens import real_screen

pytestmark = pytest.mark.slow

NTC = "non-targeting"
WAYS = [(t, s) for t in (OLS(), UTest()) for s in (Bernoulli(), StratifiedPermutation())]
EACH_WAY = pytest.mark.parametrize(
    ("statistic", "sampler"), WAYS, ids=[f"{t.name}-{s.name}" for t, s in WAYS]
)


def read(name):
    path = real_screen(name)
    with warnings.catch_warnings():
        # a third of the usages are exact zeros, so the floor is not the plain quantile
        warnings.simplefilter("ignore", ProgramDEWarning)
        return read_h5ad(path)


@pytest.fixture(scope="module")
def papalexi():
    return read("papalexi_thp1")


@pytest.fixture(scope="module")
def schraivogel():
    return read("schraivogel_tapseq")


def options(statistic, sampler, **changes):
    return RunOptions(statistic, sampler, **{"n_resamples": 1023, "progress": False, **changes})


def false_rate(screen, statistic, sampler, control):
    """Share of p < .05 of single control guides, and how many tests that is."""
    how = options(statistic, sampler, tails=False)  # the rate is that of draws
    null = run_ntc_groups(
        screen, how, ntc_labels=NTC, control=control, group_size=1, n_partitions=1
    )
    p = empirical_p(null.result.null)
    assert np.isfinite(p).all()
    return (p < 0.05).mean(), p.size


def interval(n_tests, design_effect=3.0):
    """99.9 % interval of the rate at .05; programs of a guide are dependent, worth a third each."""
    n = n_tests / design_effect
    low, high = binom.interval(0.999, round(n), 0.05)
    return low / n, high / n


@EACH_WAY
@pytest.mark.parametrize("control", ["nt_cells", "complement"])
def test_loss_of_the_interferon_receptor_lowers_the_interferon_program(
    papalexi, statistic, sampler, control
):
    # exact tails are looked for against one control group; what is asserted counts draws
    how = options(statistic, sampler, tails=control == "nt_cells")
    result = run_targets(papalexi, how, ntc_labels=NTC, control=control)
    assert result.status == [""] * 25
    p = empirical_p(result.null)
    assert np.isfinite(p).all()
    assert np.isfinite(result.effect).all()
    program = result.programs.index("program_2")
    for target in ("STAT1", "JAK2", "IFNGR1", "IFNGR2"):
        row = result.units.index(target)
        assert result.effect[row, program] < 0
        assert p[row, program] == 1 / 1024
        assert result.p_max[row] == 1 / 1024


@EACH_WAY
def test_single_control_guides_of_papalexi_against_control_cells(papalexi, statistic, sampler):
    rate, n_tests = false_rate(papalexi, statistic, sampler, "nt_cells")
    low, high = interval(n_tests)
    assert low <= rate <= high
    # one guide per cell: all other cells are full of perturbed ones and are no null
    assert false_rate(papalexi, statistic, sampler, "complement")[0] > high


@EACH_WAY
def test_single_control_guides_of_schraivogel(schraivogel, statistic, sampler):
    rate, n_tests = false_rate(schraivogel, statistic, sampler, "nt_cells")
    low, high = interval(n_tests)
    assert low <= rate <= high


def test_the_control_group_is_chosen_as_the_field_does(papalexi):
    how = options(OLS(), Bernoulli(), n_resamples=0, tails=False)
    chosen = run_targets(papalexi, how, ntc_labels=NTC, control="auto")
    asked = run_targets(papalexi, how, ntc_labels=NTC, control="nt_cells")
    np.testing.assert_array_equal(chosen.effect, asked.effect)
    assert (chosen.n_control < 5000).all()
