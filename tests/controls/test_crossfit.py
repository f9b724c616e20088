"""Cross-fit: what is held out, what comes back, and that it judges the null fairly."""

import numpy as np
import pytest

from programde.errors import InputError
from tests.controls.against import null_of
from tests.controls.simulate import null_screen

pytestmark = pytest.mark.slow

KEYS = {"pvals_real", "pvals_holdout", "gene_real", "gene_holdout"}


def run(screen, size=3, split_seed=0, **kwargs):
    options = {"guides_per_unit": size, "n_ntc_units": 400} | kwargs
    return null_of(screen, options=options, crossfit={"n_holdout_units": 40, "seed": split_seed})


def test_tables_and_record():
    screen = null_screen(14, 3, n_targets=5, n_programs=4, n_batches=2)
    found = run(screen, split_seed=11)
    crossfit = found.crossfit
    assert set(crossfit) == {"info", "meta", "per_batch"}
    assert crossfit["info"]["split"] == "by guide"
    assert not set(crossfit["info"]["guides_A"]) & set(crossfit["info"]["guides_B"])
    assert sorted(crossfit["per_batch"]) == ["b0", "b1"]
    for tables in (crossfit["meta"], *crossfit["per_batch"].values()):
        assert set(tables) >= KEYS
        assert tables["pvals_real"].shape == (5, 4)
        assert tables["pvals_holdout"].shape == (35, 4)  # all threes of seven guides
        assert tables["gene_real"].index.tolist() == found.pvals.index.tolist()
        assert tables["gene_holdout"].index.equals(tables["pvals_holdout"].index)
        assert tables["pvals_holdout"].index.str.startswith("ntc:").all()
    assert run(screen, split_seed=11).crossfit["info"] == crossfit["info"]
    assert run(screen, split_seed=12).crossfit["info"] != crossfit["info"]
    assert null_of(screen, options={"guides_per_unit": 3}).crossfit is None
    assert run(screen, batch_mode="pooled").crossfit["per_batch"] == {}


def test_few_guides_are_held_out_one_unit_at_a_time():
    screen = null_screen(5, 3, n_targets=4, n_programs=3)
    corrected = run(screen, batch_mode="pooled").crossfit
    assert corrected["info"]["split"] == "by pseudo-gene"
    assert "that it does not hold" in corrected["info"]["note"]
    assert corrected["meta"]["pvals_holdout"].notna().all().all()
    plain = run(screen, batch_mode="pooled", finite_population_correction=False).crossfit
    assert plain["info"]["split"] == "by pseudo-gene"
    assert "share guides with the null" in plain["info"]["note"]
    with pytest.raises(InputError, match=r"more NTC guides \(5\) than guides_per_unit=5"):
        run(screen, size=5)


def shares(size, n_ntc, correction, seeds=6):
    """Share of held-out and of real p-values below 0.05 in screens where all is null."""
    held, real = [], []
    for seed in range(seeds):
        screen = null_screen(n_ntc, size, n_targets=10, n_programs=300, seed=seed)
        found = run(
            screen, size, batch_mode="pooled", finite_population_correction=correction
        ).crossfit
        held.append((found["meta"]["pvals_holdout"] < 0.05).to_numpy().mean())
        real.append((found["meta"]["pvals_real"] < 0.05).to_numpy().mean())
    return np.mean(held), np.mean(real), found["info"]["split"]


def test_sharing_guides_hides_what_splitting_them_shows():
    # plain pseudo-genes, 11 NTC guides in sets of 6: too few to split, so A and B share guides;
    # Monte Carlo standard errors below 0.004
    held, real, split = shares(6, 11, correction=False)
    assert split == "by pseudo-gene"
    assert real > 0.09  # the null is wrong for new targets
    assert held < 0.065  # and the held-out units do not show it
    # the same null with enough guides to split: held-out units show the same fault as real ones
    held, real, split = shares(6, 24, correction=False)
    assert split == "by guide"
    assert real > 0.09
    assert abs(held - real) < 0.02


@pytest.mark.parametrize(("n_ntc", "split"), [(24, "by guide"), (11, "by pseudo-gene")])
def test_held_out_units_are_calibrated_with_the_correction(n_ntc, split):
    # Monte Carlo standard error of the real share 0.0025, of the held-out share 0.004
    held, real, how = shares(6, n_ntc, correction=True)
    assert how == split
    assert abs(real - 0.05) < 0.008
    assert abs(held - 0.05) < 0.013
