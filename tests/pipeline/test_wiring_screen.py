"""Keys of the built-in screen, of `usage` and of `covariates`: stage prepare with each changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from .readings import Check, Prepared, Reading, judge, name_of
from .source_files import PARTS
from .wiring import Run

pytestmark = [pytest.mark.slow, pytest.mark.wiring]

READINGS: list[Reading] = []


def made(key: str, *words: str) -> Callable[[Check], Check]:
    """Enter a check for `data.synthetic.KEY`; `words` without `data.`."""

    def enter(check: Check) -> Check:
        given = tuple(f"data.{word}" for word in words)
        READINGS.append(Reading(f"data.synthetic.{key}", "synthetic", given, check))
        return check

    return enter


@made("N", "N=320")
def n_cells(before: Run, after: Run) -> None:
    assert (before.screen.n_cells, after.screen.n_cells) == (300, 320)


@made("K", "K=6")
def n_programs(before: Run, after: Run) -> None:
    assert (before.screen.n_programs, after.screen.n_programs) == (5, 6)


@made("n_target_genes", "n_target_genes=7")
def n_targets(before: Run, after: Run) -> None:
    assert len(before.screen.target_columns()) == 6 + 1
    assert len(after.screen.target_columns()) == 7 + 1


@made("guides_per_gene", "guides_per_gene=2")
def guides_per_gene(before: Run, after: Run) -> None:
    for run, n in ((before, 3), (after, 2)):
        columns = run.screen.target_columns()
        assert {len(c) for t, c in columns.items() if t != "non-targeting"} == {n}


@made("ntc_frac_guides", "ntc_frac_guides=0.5")
def ntc_frac_guides(before: Run, after: Run) -> None:
    assert len(after.screen.target_columns()["non-targeting"]) == 18  # of 36 guides
    assert len(before.screen.target_columns()["non-targeting"]) in (4, 5)


@made("effect_of_guides", "effect_of_guides=raises")
def effect_of_guides(before: Run, after: Run) -> None:
    np.testing.assert_array_equal(before.screen.usage, after.screen.usage)
    assert after.params["data"]["effect_of_guides"] == "raises"


@made("positive_controls", "positive_controls=[[GENE0,program_0,1]]")
def positive_controls(before: Run, after: Run) -> None:
    np.testing.assert_array_equal(before.screen.usage, after.screen.usage)
    assert after.screen.program_names[0] == "program_0"


def per_cell(run: Run) -> np.ndarray:
    return np.asarray(run.screen.guides.sum(axis=1)).ravel()


@made("moi_mean", "moi_mean=1.5")
def moi_mean(before: Run, after: Run) -> None:
    """A guide drawn twice counts once, so that there are fewer than drawn."""
    assert 3.5 < per_cell(before).mean() <= 5.5
    assert 1.2 < per_cell(after).mean() <= 1.5 + 0.3


def effects(run: Run) -> np.ndarray:
    return run.table("data/truth.parquet").select_dtypes("number").to_numpy()


@made("frac_causal_genes", "frac_causal_genes=1.0")
def frac_causal_genes(before: Run, after: Run) -> None:
    assert (np.abs(effects(before)).max(axis=1) > 0).sum() == 2  # 0.35 of six
    assert (np.abs(effects(after)).max(axis=1) > 0).sum() == 6


@made("n_effect_programs", "n_effect_programs=4")
def n_effect_programs(before: Run, after: Run) -> None:
    for run, n in ((before, 2), (after, 4)):
        moved = (effects(run) != 0).sum(axis=1)
        assert set(moved.tolist()) == {0, n}


@made("effect_size", "effect_size=0.5")
def effect_size(before: Run, after: Run) -> None:
    for run, size in ((before, 1.0), (after, 0.5)):
        moved = effects(run)[effects(run) != 0]
        assert np.sqrt((moved**2).mean()) == pytest.approx(size)


@made("n_cov_extra", "n_cov_extra=3")
def n_cov_extra(before: Run, after: Run) -> None:
    for run, n in ((before, 2), (after, 3)):
        assert sum("extra" in name for name in run.screen.covariate_names) == n


@made("confound_strength", "confound_strength=0.0")
def confound_strength(before: Run, after: Run) -> None:
    """Guides per cell follow the depth where there is confounding, alone."""

    def follows(run: Run) -> float:
        depth = run.screen.covariate_table["log_depth"]
        return abs(float(np.corrcoef(depth, per_cell(run))[0, 1]))

    assert follows(before) > 0.2 > 0.15 > follows(after)  # 0.058 is one standard error


@made("n_batches", "n_batches=2")
def n_batches(before: Run, after: Run) -> None:
    assert len(set(before.screen.batch)) == 4
    assert len(set(after.screen.batch)) == 2


def at_floor(run: Run) -> float:
    return float((run.screen.usage <= run.screen.floor * 1.0000001).mean())


@made("sprinkle_near_zero_frac", "sprinkle_near_zero_frac=0.4")
def sprinkle(before: Run, after: Run) -> None:
    """A little less of the screen: of each cell the largest usage is left."""
    assert at_floor(before) == pytest.approx(0.2, abs=0.03)
    assert at_floor(after) == pytest.approx(0.4, abs=0.04)


@made("exact_zero_frac", "exact_zero_frac=0.0", "sprinkle_near_zero_frac=0.2")
def exact_zero_frac(before: Run, after: Run) -> None:
    """None is zero, so that the floor is a quantile of the near zeros below 1e-6."""
    assert before.screen.floor > 1e-5
    assert after.screen.floor < 1e-6


@made("eps_near_zero", "exact_zero_frac=0.0", "eps_near_zero=0.001")
def eps_near_zero(before: Run, after: Run) -> None:
    """Near zeros are as large as that, and hardly larger once rows sum to 1 again."""
    small = np.sort(after.screen.usage.ravel())[: int(0.15 * after.screen.usage.size)]
    assert 5e-4 < small.max() < 2e-3


@made("seed", "seed=1")
def screen_seed(before: Run, after: Run) -> None:
    assert before.screen.guides.shape == after.screen.guides.shape
    assert (before.screen.guides != after.screen.guides).nnz > 100


@made("ntc_labels", "ntc_labels=[GENE0]")
def synthetic_labels(before: Run, after: Run) -> None:
    for run, label in ((before, "non-targeting"), (after, "GENE0")):
        others = [run.screen.guide_to_target[g] != label for g in run.screen.guide_names]
        burden = run.screen.covariate_table["log1p_non_ntc_guides_per_cell"]
        n = np.asarray(run.screen.guides[:, others].sum(axis=1)).ravel()
        np.testing.assert_allclose(burden, np.log1p(n))


@made("condition_key", "condition_key=batch")
def synthetic_condition(before: Run, after: Run) -> None:
    assert after.screen.condition.tolist() == after.screen.batch.tolist()


# --- the floor, and the matrix of covariates


def scaled(usage: np.ndarray, transform: str) -> np.ndarray:
    """Usages on the scale on which they are tested."""
    if transform == "clr":
        logs = np.log(usage)
        return np.asarray(logs - logs.mean(axis=1, keepdims=True))
    root = np.sqrt(usage)
    return root if transform == "hellinger" else np.arcsin(root)


def floor_is(of: str, level: float, scale: float = 1.0, transform: str = "clr") -> Check:
    """The floor is that quantile of the usages that came in; what is tested follows from it."""

    def check(before: Run, after: Run) -> None:
        usage = PARTS.usage
        chosen = usage[usage > 0] if of == "positive" else usage
        eps = level if of == "fixed" else np.quantile(chosen, level) * scale
        assert after.screen.floor == pytest.approx(eps, rel=1e-6)
        raised = np.maximum(usage, eps)
        raised /= raised.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(after.screen.usage, raised, atol=1e-7)
        np.testing.assert_allclose(after.screen.clr, scaled(raised, transform), atol=1e-5)

    return check


def no_floor(transform: str) -> Check:
    """What is tested are the usages as they came, on another scale."""

    def check(before: Run, after: Run) -> None:
        np.testing.assert_allclose(after.screen.clr, scaled(PARTS.usage, transform), atol=1e-6)

    return check


def scores(before: Run, after: Run) -> None:
    np.testing.assert_allclose(after.screen.clr, PARTS.usage, atol=1e-6)


def floor(key: str, check: Check, *words: str) -> None:
    READINGS.append(Reading(key, "h5ad", words, check))


floor("usage.quantile.eps_quantile", floor_is("all", 0.05), "usage.eps_quantile=0.05")
floor("usage=quantile_1e-5", floor_is("all", 1e-5), "usage=quantile_1e-5")
floor("usage.quantile_1e-5.eps_quantile", floor_is("all", 0.07), "usage=quantile_1e-5",
      "usage.eps_quantile=0.07")  # fmt: skip
floor("usage=quantile_1e-6", floor_is("all", 1e-6), "usage=quantile_1e-6")
floor("usage.quantile_1e-6.eps_quantile", floor_is("all", 0.03), "usage=quantile_1e-6",
      "usage.eps_quantile=0.03")  # fmt: skip
floor("usage=fixed", floor_is("fixed", 1e-6), "usage=fixed")
floor("usage.fixed.eps", floor_is("fixed", 0.01), "usage=fixed", "usage.eps=0.01")
for name, eps in (("fixed_1e-3", 1e-3), ("fixed_1e-2", 1e-2)):
    floor(f"usage={name}", floor_is("fixed", eps), f"usage={name}")
    floor(f"usage.{name}.eps", floor_is("fixed", 0.02), f"usage={name}", "usage.eps=0.02")
tenth = floor_is("fixed", 0.1 / PARTS.usage.shape[1])
floor("usage=share_0.1", tenth, "usage=share_0.1")
floor("usage.share_0.1.share_of_mean", floor_is("fixed", 0.2 / PARTS.usage.shape[1]),
      "usage=share_0.1", "usage.share_of_mean=0.2")  # fmt: skip
floor("usage=positive_quantile", floor_is("positive", 1e-4), "usage=positive_quantile")
floor("usage.positive_quantile.eps_quantile", floor_is("positive", 0.05),
      "usage=positive_quantile", "usage.eps_quantile=0.05")  # fmt: skip
floor("usage.positive_quantile.eps_scale", floor_is("positive", 1e-4, 0.5),
      "usage=positive_quantile", "usage.eps_scale=0.5")  # fmt: skip


def scale_is(scale: Callable[[np.ndarray], np.ndarray], transform: str, eps: float = 0.0) -> Check:
    """What is tested is this function of the usages, raised to the floor and closed."""

    def check(before: Run, after: Run) -> None:
        usage = PARTS.usage
        raised = np.maximum(usage, eps)
        raised = raised / raised.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(after.screen.clr, scale(raised), atol=1e-5)
        assert (after.screen.transform, after.screen.floor) == (transform, pytest.approx(eps))
        closed = after.screen.usage if after.screen.unfloored is None else after.screen.unfloored
        np.testing.assert_allclose(closed, usage, atol=1e-7)

    return check


def log_ratio(usage: np.ndarray) -> np.ndarray:
    return np.log(usage) - np.log(usage).mean(axis=1, keepdims=True)


def arc(usage: np.ndarray) -> np.ndarray:
    return np.arcsin(np.sqrt(usage))


POSITIVE = PARTS.usage[PARTS.usage > 0]
for kind, eps in (
    ("quantile", np.quantile(PARTS.usage, 1e-4)),
    ("fixed", 1e-6),
    ("positive_quantile", np.quantile(POSITIVE, 1e-4)),
):
    floor(f"usage.{kind}.transform", scale_is(np.sqrt, "hellinger", float(eps)), f"usage={kind}",
          "usage.transform=hellinger")  # fmt: skip
floor("usage=share", scale_is(log_ratio, "clr", 0.01 / 4), "usage=share")
floor("usage.share.share_of_mean", scale_is(log_ratio, "clr", 0.3 / 4), "usage=share",
      "usage.share_of_mean=0.3")  # fmt: skip
floor("usage.share.transform", scale_is(arc, "arcsine", 0.01 / 4), "usage=share",
      "usage.transform=arcsine")  # fmt: skip
floor("usage=hellinger", scale_is(np.sqrt, "hellinger"), "usage=hellinger")
floor("usage.hellinger.transform", scale_is(arc, "arcsine"), "usage=hellinger",
      "usage.transform=arcsine")  # fmt: skip
floor("usage=arcsine", scale_is(arc, "arcsine"), "usage=arcsine")
floor("usage.arcsine.transform", scale_is(np.sqrt, "hellinger"), "usage=arcsine",
      "usage.transform=hellinger")  # fmt: skip
floor("usage=scores", scale_is(np.asarray, "none"), "usage=scores")
floor("usage.scores.transform", scale_is(np.sqrt, "hellinger"), "usage=scores",
      "usage.transform=hellinger")  # fmt: skip
floor("usage=share", floor_is("fixed", 0.01 / 4), "usage=share")
floor("usage.share.share_of_mean", floor_is("fixed", 0.2 / 4), "usage=share",
      "usage.share_of_mean=0.2")  # fmt: skip
floor("usage=hellinger", no_floor("hellinger"), "usage=hellinger")
floor("usage.hellinger.transform", no_floor("arcsine"), "usage=hellinger",
      "usage.transform=arcsine")  # fmt: skip
floor("usage=arcsine", no_floor("arcsine"), "usage=arcsine")
floor("usage.arcsine.transform", no_floor("hellinger"), "usage=arcsine",
      "usage.transform=hellinger")  # fmt: skip
floor("usage=scores", scores, "usage=scores")
floor("usage.scores.transform", no_floor("hellinger"), "usage=scores",
      "usage.transform=hellinger")  # fmt: skip
for kind, of, level in (
    ("quantile", "all", 1e-4),
    ("positive_quantile", "positive", 1e-4),
    ("fixed", "fixed", 1e-6),
    ("share", "fixed", 0.01 / 4),
):
    floor(f"usage.{kind}.transform", floor_is(of, level, transform="hellinger"), f"usage={kind}",
          "usage.transform=hellinger")  # fmt: skip


def no_intercept(before: Run, after: Run) -> None:
    assert before.screen.covariate_names[0] == "intercept"
    assert "intercept" not in after.screen.covariate_names
    assert not (after.screen.covariates == 1).all(axis=0).any()


def as_they_are(before: Run, after: Run) -> None:
    place = after.screen.covariate_names.index("depth")
    np.testing.assert_allclose(after.screen.covariates[:, place], PARTS.table["depth"])
    z = before.screen.covariates[:, before.screen.covariate_names.index("depth")]
    assert (z.mean(), z.std()) == pytest.approx((0, 1))


def a_number(before: Run, after: Run) -> None:
    """Six levels are numbers for a threshold of 3."""
    assert [n for n in after.screen.covariate_names if n.startswith("level")] == ["level"]


def a_category(before: Run, after: Run) -> None:
    """... and a category for the default of 20."""
    assert sum(name.startswith("level") for name in after.screen.covariate_names) == 5


def curved(before: Run, after: Run) -> None:
    """Beside the straight column there are others, which are no line in depth."""
    assert sum("depth" in name for name in before.screen.covariate_names) == 1
    ours = ["depth" in name for name in after.screen.covariate_names]
    assert sum(ours) > 1
    depth = np.column_stack([np.ones(len(PARTS.table)), PARTS.table["depth"]])
    columns = after.screen.covariates[:, ours]
    rest = columns - depth @ np.linalg.lstsq(depth, columns, rcond=None)[0]
    assert np.linalg.norm(rest) > 1


def by_batch(before: Run, after: Run) -> None:
    """A slope for each batch: the design spans depth in each."""
    depth, in_a = PARTS.table["depth"].to_numpy(), (PARTS.table["batch"] == "a").to_numpy()
    slopes = np.column_stack([depth * in_a, depth * ~in_a, in_a, ~in_a]).astype(float)
    found = after.screen.covariates
    assert found.shape[1] == 4
    rest = slopes - found @ np.linalg.lstsq(found, slopes, rcond=None)[0]
    assert np.abs(rest).max() < 1e-8


floor("covariates.formula", curved, "covariates.formula=~ batch + cs(depth, df=4)")
floor("covariates.formula", by_batch, "covariates.formula=~ batch * depth")
floor("covariates.add_intercept", no_intercept, "covariates.add_intercept=false")
floor("covariates.standardize", as_they_are, "covariates.standardize=false")
floor("covariates.numeric_as_category_threshold", a_number,
      "data.covar_columns=[level,batch]", "covariates.numeric_as_category_threshold=3")  # fmt: skip
floor("covariates.numeric_as_category_threshold", a_category,
      "data.covar_columns=[level,batch]", "covariates.standardize=false")  # fmt: skip

WIRED = {reading.key for reading in READINGS} | {"data=synthetic"}


@pytest.mark.parametrize("reading", READINGS, ids=name_of)
def test_a_key_does_what_it_says(reading: Reading, prepared: Prepared, tmp_path: Path) -> None:
    judge(reading, prepared, tmp_path)
