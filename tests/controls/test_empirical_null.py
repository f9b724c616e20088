"""The NTC empirical null as users call it: shapes, options, errors, and what must not matter."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError, OptionError, ProgramDEWarning
from tests.controls.against import null_of
from tests.controls.simulate import null_screen

BASE = {"guides_per_unit": 3, "n_ntc_units": 300}


@pytest.fixture(scope="module")
def screen():
    return null_screen(12, 3, n_targets=8, n_programs=5, n_batches=2, uneven=0.3, seed=4)


def run(screen, genes=None, **kwargs):
    settings = {k: kwargs.pop(k) for k in ("n_jobs", "seed", "crossfit") if k in kwargs}
    return null_of(screen, genes, BASE | kwargs, **settings)


@pytest.mark.parametrize("mode", ["meta", "pooled"])
def test_auto_goes_by_batch_where_there_are_batches(screen, mode):
    given = screen if mode == "meta" else replace(screen, batch=None)
    found, expected = run(given, batch_mode="auto"), run(given, batch_mode=mode)
    pd.testing.assert_frame_equal(found.pvals, expected.pvals)
    assert found.info["options"].batch_mode == mode


def test_shapes_and_names(screen):
    found = run(screen)
    targets = [f"t{t}" for t in range(8)]
    for table in (found.pvals, found.pvals_t, found.effects):
        assert table.shape == (8, 5)
        assert table.index.tolist() == targets
        assert table.columns.tolist() == screen.program_names
    assert found.pvals.to_numpy().min() > 0
    assert found.pvals.to_numpy().max() <= 1
    assert sorted(found.per_batch) == ["b0", "b1"]
    info = found.matching_info
    assert info.columns.tolist() == [
        "n_matched",
        "radius",
        "fallback",
        "floor",
        "n_treated",
        "n_batches",
        "reason",
    ]
    assert np.allclose(info["floor"], 1 / (info["n_matched"] + 1))
    for options in ({}, {"combine_method": "fisher"}, {"finite_population_correction": False}):
        other = run(screen, **options)
        assert (other.pvals.min(axis=1) >= other.matching_info["floor"] * (1 - 1e-9)).all()
    for label, batch in found.per_batch.items():
        cells = screen.batch == label
        for target, columns in screen.target_columns().items():
            if target != "NTC":
                held = screen.guides[cells][:, columns].toarray().any(axis=1).sum()
                assert batch["n_treated"][target] == held
        assert batch["ntc_mean"].index.tolist() == screen.program_names
    both = sum(b["n_treated"] for b in found.per_batch.values())
    assert found.n_treated.tolist() == both.tolist()


def test_a_target_is_tested_alike_alone_in_any_order_and_on_threads(screen):
    whole = run(screen)
    some = run(screen, ["t5", "t2"], n_jobs=2)
    assert some.pvals.index.tolist() == ["t5", "t2"]
    pd.testing.assert_frame_equal(some.pvals, whole.pvals.loc[["t5", "t2"]], rtol=1e-12)
    pd.testing.assert_frame_equal(some.pvals_t, whole.pvals_t.loc[["t5", "t2"]], rtol=1e-12)
    assert not run(screen, seed=1).pvals.equals(whole.pvals)


def test_order_of_cells_guides_and_programs_does_not_matter(screen):
    rng = np.random.default_rng(0)
    cells, guides, programs = (rng.permutation(n) for n in (screen.n_cells, 36, 5))
    turned = replace(
        screen,
        usage=screen.usage[cells][:, programs],
        clr=screen.clr[cells][:, programs],
        covariates=screen.covariates[cells],
        covariate_table=screen.covariate_table.iloc[cells],
        batch=screen.batch[cells],
        guides=screen.guides[cells][:, guides],
        guide_names=[screen.guide_names[g] for g in guides],
        program_names=[screen.program_names[k] for k in programs],
    )
    for correction in (True, False):
        before = run(screen, finite_population_correction=correction, crossfit={})
        after = run(turned, finite_population_correction=correction, crossfit={})
        for name in ("pvals", "pvals_t", "effects"):
            old, new = getattr(before, name), getattr(after, name)
            pd.testing.assert_frame_equal(new.loc[old.index, old.columns], old, rtol=1e-8)
        old, new = (x.crossfit["meta"]["pvals_holdout"] for x in (before, after))
        pd.testing.assert_frame_equal(new[old.columns], old, rtol=1e-8)


def test_batch_key_is_respected(screen):
    other = replace(screen, batch=np.array(["one"] * screen.n_cells, dtype=object))
    assert list(run(other).per_batch) == ["one"]
    by_key = run(other, batch_key="lane")
    assert sorted(by_key.per_batch) == ["b0", "b1"]
    pd.testing.assert_frame_equal(by_key.pvals, run(screen).pvals)
    with pytest.raises(InputError, match=r"batch_key='lanes' is not a covariate.*'lane'"):
        run(screen, batch_key="lanes")
    with pytest.raises(InputError, match="array without names"):
        run(replace(screen, covariate_table=None), batch_key="lane")
    with pytest.raises(InputError, match="needs batch labels"):
        run(replace(screen, batch=None))


def test_pooled_takes_all_cells_at_once(screen):
    found = run(screen, batch_mode="pooled")
    assert found.per_batch == {}
    x = screen.guides[:, screen.target_columns()["t3"]].toarray().any(axis=1).astype(float)
    design = np.column_stack([x, screen.covariates])
    beta = np.linalg.lstsq(design, screen.clr, rcond=None)[0][0]
    assert np.allclose(found.effects.loc["t3"], beta)


def test_effects_are_found():
    screen = null_screen(20, 3, n_targets=6, n_programs=4, n_batches=2, cells_per_guide=40)
    cells = screen.guides[:, screen.target_columns()["t2"]].toarray().any(axis=1)
    screen.clr[cells, 1] += 1.5
    for options in ({}, {"combine_method": "fisher"}, {"finite_population_correction": False}):
        found = null_of(screen, None, {"guides_per_unit": 3} | options)
        info = found.matching_info.loc["t2"]
        assert found.pvals.loc["t2", "p1"] <= info["floor"] * 1.1
        assert found.gene_pvals["t2"] <= 0.01
        assert found.pvals.drop("t2").to_numpy().min() > 1e-4
        assert found.effects.loc["t2", "p1"] == pytest.approx(1.5, abs=0.4)
    found = null_of(screen, None, {"guides_per_unit": 3})
    assert found.pvals_t.loc["t2", "p1"] < 1e-6


def test_targets_that_cannot_be_tested_say_why(screen):
    found = run(screen, min_treated=10_000)
    assert found.pvals.isna().all().all()
    assert found.gene_pvals.isna().all()
    assert (found.matching_info["reason"].str.contains("fewer than min_treated=10000")).all()
    found = run(screen, min_control=10_000)
    assert (found.matching_info["reason"].str.contains("fewer than min_control=10000")).all()
    assert (found.matching_info["n_batches"] == 0).all()


def test_a_target_leaves_out_batches_without_its_cells(screen):
    guides = screen.guides.tolil()
    gone = np.flatnonzero(screen.batch == "b1")[:, None]
    guides[gone, screen.target_columns()["t1"]] = 0
    one_sided = replace(screen, guides=guides.tocsc())
    found = run(one_sided)
    assert found.matching_info.loc["t1", "n_batches"] == 1
    assert found.per_batch["b1"]["pvals"].loc["t1"].isna().all()
    assert found.pvals.loc["t1"].notna().all()
    alone = found.per_batch["b0"]["pvals_t"].loc["t1"]
    assert np.allclose(found.pvals_t.loc["t1"], alone)


def test_batches_with_too_few_cells_are_left_out_and_named(screen):
    batch = screen.batch.copy()
    batch[:3] = "tiny"
    with pytest.warns(ProgramDEWarning, match="too few cells for the covariates left out: tiny"):
        found = run(replace(screen, batch=batch))
    assert sorted(found.per_batch) == ["b0", "b1"]
    assert len(found.info["notes"]) == 1


@pytest.mark.parametrize("correction", [True, False])
def test_matching_on_pbar(screen, correction):
    found = run(
        screen,
        finite_population_correction=correction,
        use_pbar=True,
        matching={"n_pbar_bins": 3, "min_ntc_per_bin": 20},
    )
    assert found.pvals.notna().all().all()
    assert (found.matching_info["n_matched"] >= 20).all()
    seen = []

    def own_model(C, x):
        seen.append(x.sum())
        return np.full(len(C), x.mean())

    null_of(
        screen,
        ["t0"],
        BASE | {"finite_population_correction": correction, "use_pbar": True},
        propensity=own_model,
    )
    assert seen


def test_options_and_inputs_are_checked(screen):
    with pytest.raises(OptionError, match=r"no option 'combine'.*'combine_method'"):
        run(screen, combine="fisher")
    with pytest.raises(OptionError, match=r"combine_method=stoufer.*'stouffer'"):
        run(screen, combine_method="stoufer")
    with pytest.raises(OptionError, match="n_ntc_units=0"):
        run(screen, n_ntc_units=0)
    with pytest.raises(OptionError, match="min_treated=-1"):
        run(screen, min_treated=-1)
    with pytest.raises(InputError, match="labels that exist"):
        run(screen, ntc_labels="control")
    with pytest.raises(InputError, match=r"target 't99' has no guide"):
        run(screen, ["t99"])
    with pytest.raises(InputError, match="guides_per_unit=13 needs as many NTC guides"):
        run(screen, guides_per_unit=13, finite_population_correction=False)


def test_an_ntc_label_can_be_asked_for(screen):
    found = run(screen, ["t0", "NTC"])
    assert found.pvals.loc["NTC"].isna().all()
    assert found.matching_info.loc["NTC", "reason"] == "no NTC guide is left to compare with"
    assert np.array_equal(found.pvals.loc["t0"], run(screen).pvals.loc["t0"])


def test_two_guides_on_one_vector_do_not_count_twice():
    # the three guides of a target in the same cells, n1 as for one guide; 12 NTC guides.
    # 4 screens x 200 programs x 10 targets; the bound leaves 4 standard errors above 0.05
    shares = []
    for seed in range(4):
        screen = null_screen(12, 3, n_targets=10, n_programs=200, seed=seed)
        guides = screen.guides.tolil()
        for target, columns in screen.target_columns().items():
            if target != "NTC":
                together = screen.guides[:, columns].toarray().any(axis=1)
                guides[np.flatnonzero(together)[:, None], columns] = 1
        found = run(replace(screen, guides=guides.tocsc()), batch_mode="pooled")
        shares.append((found.pvals < 0.05).to_numpy().mean())
    assert np.mean(shares) < 0.065
