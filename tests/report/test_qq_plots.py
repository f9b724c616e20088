"""QQ panels: which curves, bands and points are drawn, also where there is little to draw."""

import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError, OptionError
from programde.report.crossfit_plots import make_ntc_empirical_qq_plots
from programde.report.ntc_plots import leave_one_out, qq_plot_ntc_pvals, skew_normal_null
from programde.report.qq_plots import qq_panel, qq_small_multiples
from programde.report.style import figure_of, file_names, png_bytes
from tests.report.fake import make_p_table

UNIFORM = np.random.default_rng(0).uniform(size=400)
GUIDES = {"g1": "GENE0", "g2": "NTC", "g3": "safe"}


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_one_line_per_curve_and_the_diagonal():
    ax = qq_panel({"raw": UNIFORM, "saddlepoint": UNIFORM**2, "mine": UNIFORM})
    assert len(ax.lines) == 4
    assert labels(ax)[0] == "95 % band, 400 independent p-values"
    assert labels(ax)[1].startswith("raw (400, λ = ")


def test_band_is_that_of_the_judged_curve():
    ax = qq_panel({"null": UNIFORM, "raw": UNIFORM[:50]}, band_for="raw")
    assert "95 % band, 50 independent p-values" in labels(ax)
    with pytest.raises(OptionError, match="band_for='rwa' is not a curve; did you mean 'raw'"):
        qq_panel({"raw": UNIFORM}, band_for="rwa")


def test_extreme_hits_do_not_flatten_the_plot_and_are_counted():
    p = np.r_[UNIFORM, 1e-300, 1e-200, 0.0]
    ax = qq_panel({"raw": UNIFORM}, scatter={"all": p})
    assert ax.get_ylim()[1] < 10
    assert any("3 above" in text.get_text() for text in ax.texts)


@pytest.mark.parametrize("p", [[], [np.nan], [0.5], [1.0, 1.0], [1e-300]])
def test_little_or_nothing_to_draw(p):
    ax = qq_panel({"raw": p, "saddlepoint": []})
    assert "saddlepoint: no p-values" in labels(ax)
    assert png_bytes(ax)


def test_many_p_values_are_thinned_before_drawing():
    ax = qq_panel({"raw": np.random.default_rng(1).uniform(size=300_000)})
    assert max(len(line.get_xdata()) for line in ax.lines) <= 4001


def test_small_multiples_share_their_axes():
    panels = {f"eps={i}": {"raw": UNIFORM**i, "saddlepoint": UNIFORM} for i in (1, 2, 3, 4, 5)}
    figure = qq_small_multiples(panels, notes={"eps=1": "calibrated"}, title="grid")
    drawn = [ax for ax in figure.axes if ax.axison]
    assert len(drawn) == 5
    assert len({ax.get_ylim() for ax in drawn}) == 1
    assert len(figure.legends[0].get_texts()) == 2
    with pytest.raises(InputError, match="no panel"):
        qq_small_multiples({})


def ensemble(n=4, spread=1.0):
    return {r: make_p_table(6, 20, spread, seed=r) for r in range(n)}


def test_ntc_plot_pools_groups_over_replicates():
    raw = make_p_table(30, prefix="GENE")
    ax = qq_plot_ntc_pvals(
        raw,
        GUIDES,
        ["non-targeting", "NTC"],
        pvals_skew_df=raw,
        null_pvals=UNIFORM,
        ntc_group_pvals_ens=ensemble(),
        ntc_group_pvals_skew_ens=ensemble(),
        show_ntc_ensemble_band=True,
        show_all_pvals=True,
        title="grouped",
    )
    text = " | ".join(labels(ax))
    assert "NTC groups, raw (480," in text
    assert "NTC groups, skew-normal (480," in text
    assert "CRT null (400," in text
    assert "all observed (600)" in text
    assert "median and IQR of 4 partitions" in text
    assert "95 % band, 480 independent" in text
    assert len(ax.lines) == 5  # diagonal, raw, skew, null, median of the partitions


def test_ntc_rows_are_used_without_groups_and_null_from_statistics():
    raw = make_p_table(3)
    raw.index = ["GENE0", "NTC", "safe"]
    draws = np.random.default_rng(0).standard_normal((99, 20))
    ax = qq_plot_ntc_pvals(raw, GUIDES, "NTC", null_stats=draws, show_null_skew=True)
    text = " | ".join(labels(ax))
    assert "NTC, raw (20," in text
    assert "CRT null (1,980," in text
    assert "CRT null, skew-normal (1,980," in text


def test_ntc_plot_draws_where_asked():
    ax = qq_panel({"raw": UNIFORM})
    figure = figure_of(ax)
    raw = make_p_table(1).set_axis(["NTC"])
    other = figure.add_subplot(2, 2, 1)
    assert qq_plot_ntc_pvals(raw, GUIDES, "NTC", null_pvals=UNIFORM, ax=other) is other


def test_ntc_plot_refuses_what_is_missing():
    raw = make_p_table(3)
    with pytest.raises(InputError, match=r"matches no target.*valid: GENE0, NTC, safe"):
        qq_plot_ntc_pvals(raw, GUIDES, ["controls"], null_pvals=UNIFORM)
    with pytest.raises(InputError, match="needs null_pvals or null_stats"):
        qq_plot_ntc_pvals(raw, GUIDES, "NTC")
    with pytest.raises(InputError, match="rows \\['NTC'\\] of the table hold no p-value"):
        qq_plot_ntc_pvals(raw, GUIDES, "NTC", null_pvals=UNIFORM)
    with pytest.raises(InputError, match="without ntc_group_pvals_skew_ens"):
        qq_plot_ntc_pvals(
            raw,
            GUIDES,
            "NTC",
            pvals_skew_df=raw,
            null_pvals=UNIFORM,
            ntc_group_pvals_ens=ensemble(),
        )
    with pytest.raises(InputError, match="show_null_skew=True needs null_stats"):
        qq_plot_ntc_pvals(raw, GUIDES, "NTC", null_pvals=UNIFORM, show_null_skew=True)


def test_leave_one_out_counts_the_others_with_ties():
    draws = np.array([0.0, 1.0, -1.0, 2.0, -3.0])
    by_hand = [
        (1 + sum(abs(draws[j]) >= abs(draws[b]) for j in range(5) if j != b)) / 5 for b in range(5)
    ]
    np.testing.assert_allclose(leave_one_out(draws), by_hand)
    np.testing.assert_allclose(leave_one_out(np.c_[draws, -draws])[:, 1], by_hand)


def test_skew_normal_null_is_uniform_where_the_draws_are_skew_normal():
    """KS distance of 4000 p-values below 0.03 (a uniform sample exceeds it with p = 0.002)."""
    from scipy import stats

    draws = stats.skewnorm.rvs(3.0, size=4000, random_state=5)
    assert stats.kstest(skew_normal_null(draws), "uniform").statistic < 0.03


def crossfit():
    def part(seed):
        real, held = make_p_table(30, 5, 1.5, seed), make_p_table(80, 5, 1.0, seed + 1)
        return {
            "pvals_real": real,
            "pvals_holdout": held,
            "gene_real": real.iloc[:, 0],
            "gene_holdout": held.iloc[:, 0],
        }

    effects = pd.DataFrame(
        np.random.default_rng(0).standard_normal((30, 5)) * [1, 5, 2, 4, 3],
        columns=[f"program_{k}" for k in range(5)],
    )
    parts = {"info": {"split": "by guide"}, "meta": part(1), "per_batch": {"lane 1": part(3)}}
    return {"betas_df": effects, "ntc_crossfit": parts}


@pytest.mark.slow
@pytest.mark.brief
def test_crossfit_plots_have_the_promised_names(tmp_path):
    written = make_ntc_empirical_qq_plots(crossfit(), tmp_path, n_programs=2, envelope_boot=20)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("**/*.png"))
    assert names == [
        "per_batch/lane_1/qq_ntc_empirical_genelevel.png",
        "per_batch/lane_1/qq_ntc_empirical_program_program_1.png",
        "per_batch/lane_1/qq_ntc_empirical_program_program_3.png",
        "qq_ntc_empirical_genelevel_meta.png",
        "qq_ntc_empirical_program_program_1_meta.png",
        "qq_ntc_empirical_program_program_3_meta.png",
    ]
    assert sorted(written) == sorted(tmp_path / name for name in names)


@pytest.mark.slow
@pytest.mark.brief
def test_crossfit_plots_of_named_programs_only_meta(tmp_path):
    written = make_ntc_empirical_qq_plots(
        crossfit(), tmp_path, ["program_4"], make_per_batch=False, envelope_boot=10
    )
    assert [path.name for path in written] == [
        "qq_ntc_empirical_genelevel_meta.png",
        "qq_ntc_empirical_program_program_4_meta.png",
    ]
    with pytest.raises(InputError, match="no program 'program_9'; did you mean"):
        make_ntc_empirical_qq_plots(crossfit(), tmp_path, ["program_9"])
    with pytest.raises(InputError, match="qq_crossfit=True"):
        make_ntc_empirical_qq_plots({}, tmp_path)


def test_file_names_never_meet():
    assert file_names(["a/b", "a_b", "A_B", "..", 3]) == {
        "a/b": "a_b",
        "a_b": "a_b_2",
        "A_B": "A_B_3",
        "..": "_",
        3: "3",
    }


def test_a_null_of_many_draws_does_not_squeeze_the_judged_curve():
    null = np.random.default_rng(2).uniform(size=200_000)
    ax = qq_panel({"raw": UNIFORM, "null": null}, band_for="raw")
    assert ax.get_xlim()[1] < 1.2 * -np.log10(0.5 / 400)
    assert qq_panel({"null": null}).get_xlim()[1] > -np.log10(0.5 / 200_000)


def test_curves_stay_clear_of_the_legend():
    steep = UNIFORM**3
    ax = qq_panel({"raw": steep, "skew_normal": steep, "saddlepoint": steep})
    figure_of(ax).draw_without_rendering()
    box = ax.get_legend().get_window_extent()
    drawn = [line for line in ax.lines if line.get_label().startswith("raw")]
    corners = ax.transData.transform(drawn[0].get_xydata())
    assert not box.count_contains(corners)
