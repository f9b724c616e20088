import anndata
import numpy as np
import pytest

from programde.errors import OptionError, ProgramDEWarning
from programde.io.anndata import screen_from_anndata
from programde.screen.synthetic import builtin_screen, make_sceptre_style_synth, true_effects

SIZES = {"N": 3000, "K": 8, "n_target_genes": 12, "guides_per_gene": 3}


def screen_of(adata, **keys):
    return screen_from_anndata(adata, usage_key="usage", **keys)


def z_scores(screen, adjusted: bool) -> np.ndarray:
    """(n_guides, K) OLS z-scores of each guide's presence, with or without the covariates."""
    Q = np.linalg.qr(screen.covariates if adjusted else screen.covariates[:, :1])[0]
    R = screen.clr - Q @ (Q.T @ screen.clr)
    X = screen.guides.toarray().astype(float)
    X -= Q @ (Q.T @ X)
    beta = (X.T @ R) / (X**2).sum(axis=0)[:, None]
    variance = ((R**2).sum(axis=0) / len(R)) / (X**2).sum(axis=0)[:, None]
    return beta / np.sqrt(variance)


@pytest.mark.slow
@pytest.mark.brief
def test_what_it_holds_and_that_it_survives_writing(tmp_path):
    adata = make_sceptre_style_synth(**SIZES, frac_causal_genes=0.25, seed=5)
    assert list(adata.obsm["covar"]) == ["intercept", "batch", "log_depth"] + [
        f"extra_{j}" for j in range(6)
    ]
    np.testing.assert_allclose(adata.obsm["usage"].sum(axis=1), 1)
    adata.write_h5ad(tmp_path / "s.h5ad")
    back = anndata.read_h5ad(tmp_path / "s.h5ad")
    a, b = screen_of(adata), screen_of(back)
    np.testing.assert_array_equal(a.clr, b.clr)
    np.testing.assert_array_equal(a.covariates, b.covariates)
    assert a.guide_to_target == b.guide_to_target
    assert list(back.uns["causal_genes"]) == list(adata.uns["causal_genes"])
    truth = true_effects(adata)
    assert truth.equals(true_effects(back))
    assert truth.shape == (12, 8)
    assert (truth.abs().max(axis=1) > 0).sum() == 3


def test_same_seed_same_screen_other_seed_other_screen():
    a, b, c = (make_sceptre_style_synth(**SIZES, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(a.obsm["usage"], b.obsm["usage"])
    assert (a.obsm["guide_assignment"] != b.obsm["guide_assignment"]).nnz == 0
    assert not np.array_equal(a.obsm["usage"], c.obsm["usage"])


def test_library_and_multiplicity():
    adata = make_sceptre_style_synth(**SIZES, ntc_frac_guides=0.25, moi_mean=4)
    mapping = adata.uns["guide2gene"]
    assert sum(t == "non-targeting" for t in mapping.values()) / len(mapping) == 0.25
    assert list(mapping) == list(adata.uns["guide_names"])
    screen = screen_of(adata)
    copies = 4 * (1 - 4 / 48)  # a guide held twice counts once
    assert abs(np.asarray(screen.guides.sum(axis=1)).mean() - copies) < 0.2


def test_effects_sum_to_zero_over_the_programs_they_move():
    adata = make_sceptre_style_synth(
        **SIZES, frac_causal_genes=1.0, n_effect_programs=4, effect_size=0.5
    )
    E = true_effects(adata).to_numpy()
    np.testing.assert_allclose(E.sum(axis=1), 0, atol=1e-12)
    assert ((E != 0).sum(axis=1) == 4).all()
    np.testing.assert_allclose(np.sqrt((E**2).sum(axis=1) / 4), 0.5)
    single = make_sceptre_style_synth(**SIZES, n_effect_programs=1, effect_size=0.5)
    moved = true_effects(single).loc[list(single.uns["causal_genes"])].to_numpy()
    np.testing.assert_allclose(moved.sum(axis=1), 0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.brief
def test_effects_are_found_where_they_were_put():
    # |z| of an effect of 2 with about 400 treated cells is near 20; 5.5 standard errors of slack
    adata = make_sceptre_style_synth(
        **SIZES, frac_causal_genes=0.25, effect_size=2.0, sprinkle_near_zero_frac=0, seed=3
    )
    screen, truth = screen_of(adata), true_effects(adata)
    Q = np.linalg.qr(screen.covariates)[0]
    R = screen.clr - Q @ (Q.T @ screen.clr)
    for unit in screen.target_units(list(truth.index)):
        x = np.zeros(screen.n_cells)
        x[screen.treated_cells(unit)] = 1
        x -= Q @ (Q.T @ x)
        beta, se = R.T @ x / (x @ x), np.sqrt((R**2).mean(axis=0) / (x @ x))
        assert (np.abs(beta - truth.loc[unit.name]) < 5.5 * se).all()


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("zeros", [0.0, 1.0])
def test_confounding_is_there_and_covariates_remove_it(zeros):
    # 36 guides x 8 programs: a rate of .05 has standard error about .015 (programs depend)
    adata = make_sceptre_style_synth(
        **SIZES, frac_causal_genes=0, confound_strength=0.8, exact_zero_frac=zeros, seed=2
    )
    with pytest.warns(ProgramDEWarning, match="quantile") if zeros else no_warning():
        screen = screen_of(adata)
    assert (np.abs(z_scores(screen, adjusted=False)) > 1.96).mean() > 0.2
    assert (np.abs(z_scores(screen, adjusted=True)) > 1.96).mean() < 0.1


def no_warning():
    import contextlib

    return contextlib.nullcontext()


def test_without_confounding_guides_do_not_depend_on_covariates():
    # 42 guides: the largest |z| of 42 exceeds 4 with probability .003
    adata = make_sceptre_style_synth(**SIZES, frac_causal_genes=0)
    depth = adata.obsm["covar"]["log_depth"].to_numpy()
    z = (depth - depth.mean()) / depth.std()
    X = adata.obsm["guide_assignment"].toarray()
    assert np.abs(z @ (X - X.mean(axis=0)) / np.sqrt(X.var(axis=0) * len(z))).max() < 4


def test_near_zeros_are_sprinkled_at_the_scale_asked():
    kwargs = {**SIZES, "sprinkle_near_zero_frac": 0.3, "eps_near_zero": 1e-7}
    usage = make_sceptre_style_synth(**kwargs).obsm["usage"]
    assert abs((usage < 1e-6).mean() - 0.3) < 0.02
    assert usage.min() > 0
    zeros = make_sceptre_style_synth(**kwargs, exact_zero_frac=1.0).obsm["usage"]
    assert abs((zeros == 0).mean() - 0.3) < 0.02
    every = make_sceptre_style_synth(
        **{**kwargs, "K": 2, "sprinkle_near_zero_frac": 0.9, "n_effect_programs": 2}
    )
    assert every.obsm["usage"].max(axis=1).min() >= 0.5


@pytest.mark.slow
@pytest.mark.brief
def test_builtin_screen():
    adata = builtin_screen()
    with pytest.warns(ProgramDEWarning, match="exact zeros"):
        screen = screen_from_anndata(adata)
    assert screen.clr.shape == (5000, 20)
    treated = [len(screen.treated_cells(u)) for u in screen.target_units()]
    assert len(treated) == 61
    assert min(treated) >= 95
    assert set(screen.batch) == {"B1", "B2", "B3", "B4"}
    assert len(adata.uns["causal_genes"]) == 12


@pytest.mark.parametrize(
    "options",
    [{"N": 2}, {"K": 1}, {"n_target_genes": 0}, {"ntc_frac_guides": 1.0}, {"moi_mean": -1},
     {"n_effect_programs": 9}, {"frac_causal_genes": 1.5}, {"n_batches": 0}, {"N": 10.5},
     {"eps_near_zero": 0.5}, {"confound_strength": float("nan")}],
)  # fmt: skip
def test_bad_options(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        make_sceptre_style_synth(**{**SIZES, **options})
