"""All genes, or one, by the conditional randomization test: the main doors of the original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from programde.analysis.calibrate import Calibrated, calibrate, raw_p
from programde.analysis.tables import ADJUST
from programde.calibration.empirical import side_from_code
from programde.calibration.skew_normal import SkewNormal
from programde.calibration.skew_normal import calibrate as fit_skew_normals
from programde.compat.inputs import CRTInputs, gene_units
from programde.compat.propensity import fit_propensity_logistic
from programde.compat.running import COMPLEMENT, Compared, compared, run_units, warn_untested
from programde.compat.settings import EFFECT_NAMES, run_options
from programde.compat.shapes import Answer, CRTGeneResult, as_dict, as_tuple
from programde.crt.engine import RunOptions
from programde.crt.propensity import PropensityModel
from programde.crt.results import CRTResult, ResultTable
from programde.errors import OptionError, check_choice
from programde.screen.screen import Unit

NULL_METHODS = ("crt", "ntc_empirical")
#: Calibrations of resampled nulls; NTC guides as the null are `null_method="ntc_empirical"`.
CALIBRATIONS = ("none", "skew_normal", "saddlepoint")
RETURN_FORMATS = ("dict", "tuple")


def run_all_genes_union_crt(
    inputs: CRTInputs,
    genes: str | Sequence[str] | None = None,
    B: int = 1023,
    n_jobs: int = 8,
    base_seed: int = 123,
    propensity_model: PropensityModel | None = fit_propensity_logistic,
    backend: str = "loky",
    resampling_method: str = "bernoulli_index",
    resampling_kwargs: Mapping[str, Any] | None = None,
    null_method: str = "crt",
    null_kwargs: Mapping[str, Any] | None = None,
    qq_crossfit: bool = False,
    calibrate_skew_normal: bool = False,
    skew_normal_side_code: int = 0,
    return_skew_normal: bool = False,
    return_raw_pvals: bool = False,
    return_format: str = "dict",
    test_stat: str | None = "ols",
    test_stat_kwargs: Mapping[str, Any] | None = None,
    *,
    calibration: str = "none",
    adjust: str = "bh",
    ntc_labels: str | Sequence[str] | None = None,
    control: str = "complement",
    progress: bool | None = None,
) -> Any:
    """Test genes, each the union of its guides against its control cells, on all programs.

    A gene that cannot be tested (no treated or no control cells, collinear with the covariates)
    has p-values of 1 and effects of 0 in the wide tables, is marked in `results` (`testable`,
    `reason`), is NaN in the tidy table, and is named in a warning.

    Parameters
    ----------
    inputs
        From `prepare_crt_inputs`: N cells, K programs.
    genes
        Genes to test, in this order; one name will do. Default: all that have guides, sorted,
        control labels among them (all but the control labels with the NTC empirical null, and
        against cells of control guides).
    B
        Resamples. 0 or below: nothing is tested, unless `calibration="saddlepoint"`, which needs
        none; raw p-values are then missing.
    n_jobs
        Threads, at most one per core. No result depends on their number.
    base_seed
        Seed. A gene's draws depend on it and on the gene's name, and on nothing else.
    propensity_model
        f(C, x) -> p (N,), or (p, model); default: ridge logistic regression. Called from threads.
    backend
        The names of joblib's (threading, loky, multiprocessing, sequential) are accepted, the work
        is done by threads in any case: they share the arrays.
    resampling_method, resampling_kwargs
        ``"bernoulli_index"``, or ``"stratified_perm"`` with n_bins, stratify_by_batch, batch_key,
        min_stratum_size, burden_key, n_burden_bins, burden_bin_method, burden_clip_quantiles.
    null_method
        ``"crt"``: resamples. ``"ntc_empirical"``: non-targeting guides as the null; B, sampler and
        calibration then have no part.
    null_kwargs, qq_crossfit
        See `programde.compat.empirical.empirical_null`; whether to hold out NTC units.
    calibrate_skew_normal
        Whether `pvals_df` holds skew-normal p-values; the same as `calibration="skew_normal"`.
    skew_normal_side_code
        Side of the calibrated p-values: 0 both, -1 left, 1 right. Raw p-values are two-sided.
    return_skew_normal, return_raw_pvals
        Whether to return `pvals_skew_df` with `skew_params`, and `pvals_raw_df`.
    return_format
        ``"dict"`` or ``"tuple"``: (pvals_df, betas_df, treated_df, results), then pvals_skew_df and
        skew_params, then pvals_raw_df, where they were asked for.
    test_stat, test_stat_kwargs
        ``"ols"`` (also "beta", None), or ``"utest"`` (also "wilcoxon", "mannwhitney") with use
        ("clr" or "usage") and rank_method ("average").
    calibration
        ``"none"``, ``"skew_normal"`` or ``"saddlepoint"``.
    adjust
        q-values of the tidy table: ``"bh"`` (Benjamini-Hochberg) or ``"storey"``.
    ntc_labels
        Genes that are controls and left out of the q-values. Default: those whose names say so
        (NTC, non-targeting, safe-targeting ...).
    control
        ``"complement"``: all other cells. ``"nt_cells"``: cells that hold only control guides;
        with one target per cell, all other cells are perturbed ones and no null. ``"auto"``:
        `nt_cells` where the median cell holds one guide.
    progress
        Whether to show a progress bar; None on interactive terminals only.

    Returns
    -------
    dict
        pvals_df, betas_df : (G, K) DataFrame
            P-values, and effects: OLS coefficients on the CLR scale, or rank-biserial
            correlations.
        treated_df : (G,) Series
            Treated cells, named n_union_positive_cells.
        results : list of CRTGeneResult
            In the order of the genes; ``results["STAT1"]`` works too.
        stat_name : str
            ``"beta"`` or ``"rank_biserial"``.
        results_table : DataFrame
            One row per gene x program with q-values, see `programde.analysis.tables`.
        omnibus_table : DataFrame
            One row per gene: does it shift any program?
        control : ControlGroup
            Its `kind`, the `reason`, and a `warning` where there is one.
        pvals_raw_df, pvals_skew_df, skew_params (G, K, 3), stats_df (U-test)
            As asked.
        null_method, ntc_matching_info, ntc_crossfit
            With the NTC empirical null, see `programde.compat.empirical`.

    Raises
    ------
    InputError
        A gene without guides, or a column that does not exist.
    OptionError
        An option that is unknown or out of range; the nearest valid names are offered.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> out = pde.run_all_genes_union_crt(inputs, B=99, n_jobs=1)
    >>> out["pvals_df"].shape, out["results"]["GENE00000"].testable
    ((5, 3), True)
    """
    check_choice("null_method", null_method, NULL_METHODS)
    check_choice("return_format", return_format, RETURN_FORMATS)
    check_choice("adjust", adjust, ADJUST)
    method = _calibration(calibration, calibrate_skew_normal)
    side = side_from_code(skew_normal_side_code)
    options = run_options(
        inputs,
        B,
        base_seed,
        {
            "n_jobs": n_jobs,
            "backend": backend,
            "propensity_model": propensity_model,
            "resampling_method": resampling_method,
            "resampling_kwargs": resampling_kwargs,
            "test_stat": test_stat,
            "test_stat_kwargs": test_stat_kwargs,
            "progress": progress,
        },
    )
    if null_method == "ntc_empirical":
        from programde.compat.empirical import against_ntc

        _only_ols(options, method, return_skew_normal)
        if control != "complement":
            raise OptionError(
                f"control={control!r} does not go with null_method='ntc_empirical', which compares "
                "with control guides in any case; leave one out"
            )
        out = against_ntc(inputs, genes, null_kwargs, qq_crossfit, options, adjust)
        if return_raw_pvals:
            out["pvals_raw_df"] = out["pvals_df"].copy()
        return out if return_format == "dict" else as_tuple(out)
    if null_kwargs or qq_crossfit:
        raise OptionError("null_kwargs and qq_crossfit belong to null_method='ntc_empirical'")
    against = compared(inputs, control, ntc_labels)
    if genes is None and against.group.kind == "nt_cells":
        genes = [gene for gene in sorted(inputs.gene_to_cols) if gene not in against.labels]
    units = gene_units(inputs, genes)
    controls = np.array([unit.name in against.labels for unit in units])
    answer = answer_for(inputs, units, options, method, side, return_skew_normal, against)
    out = as_dict(answer, EFFECT_NAMES[options.statistic.name], adjust, controls)
    out["control"] = against.group
    if return_raw_pvals:
        out["pvals_raw_df"] = answer.wide(answer.raw)
    if return_skew_normal and answer.skew is not None:
        out["pvals_skew_df"] = answer.wide(answer.skew.p)
        out["skew_params"] = answer.skew.parameters
    return out if return_format == "dict" else as_tuple(out)


def run_one_gene_union_crt(
    gene: str,
    inputs: CRTInputs,
    B: int = 1023,
    base_seed: int = 123,
    propensity_model: PropensityModel | None = fit_propensity_logistic,
    resampling_method: str = "bernoulli_index",
    resampling_kwargs: Mapping[str, Any] | None = None,
    null_method: str = "crt",
    null_kwargs: Mapping[str, Any] | None = None,
    calibrate_skew_normal: bool = False,
    skew_normal_side_code: int = 0,
    test_stat: str | None = "ols",
    test_stat_kwargs: Mapping[str, Any] | None = None,
    *,
    return_skew_normal: bool = False,
    calibration: str = "none",
    ntc_labels: str | Sequence[str] | None = None,
    control: str = "complement",
) -> CRTGeneResult:
    """Test one gene; the same numbers as in `run_all_genes_union_crt`.

    Parameters
    ----------
    gene
        A gene with guides.
    inputs
        From `prepare_crt_inputs`.
    B, base_seed, propensity_model, resampling_method, resampling_kwargs, null_method, null_kwargs
        See `run_all_genes_union_crt`.
    calibrate_skew_normal, skew_normal_side_code, test_stat, test_stat_kwargs, return_skew_normal
        See `run_all_genes_union_crt`.
    calibration, ntc_labels, control
        See `run_all_genes_union_crt`.

    Returns
    -------
    CRTGeneResult
        P-values, effects, and whether the gene could be tested.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> pde.run_one_gene_union_crt("GENE00000", inputs, B=99).pvals.shape
    (3,)
    """
    out = run_all_genes_union_crt(
        inputs,
        [gene],
        B,
        1,
        base_seed,
        propensity_model,
        "sequential",
        resampling_method,
        resampling_kwargs,
        null_method,
        null_kwargs,
        calibrate_skew_normal=calibrate_skew_normal,
        skew_normal_side_code=skew_normal_side_code,
        return_skew_normal=return_skew_normal,
        test_stat=test_stat,
        test_stat_kwargs=test_stat_kwargs,
        calibration=calibration,
        ntc_labels=ntc_labels,
        control=control,
        progress=False,
    )
    record: CRTGeneResult = out["results"][0]
    return record


def answer_for(
    inputs: CRTInputs,
    units: Sequence[Unit],
    options: RunOptions,
    method: str,
    side: str,
    with_skew: bool = False,
    against: Compared = COMPLEMENT,
) -> Answer:
    """Test units and calibrate; warns of units that cannot be tested."""
    check_choice("calibration", method, CALIBRATIONS)
    if options.n_resamples == 0 and method != "saddlepoint":
        result = _not_drawn(inputs, units)
        nan = np.full(result.effect.shape, np.nan)
        untold = Calibrated(method, nan, np.full(nan.shape, "", dtype=object), side)
        skew: SkewNormal | None = fit_skew_normals(nan, result.null, side)
        every = np.ones(len(units), dtype=bool)
        warn_untested(result, every, "given p-values of 1 and effects of 0")
        return Answer(result, nan, untold, skew, every)
    options = replace(options, tails=method == "saddlepoint")
    result = run_units(inputs, units, options, label="genes", against=against)
    blank = np.array([reason != "" for reason in result.status])
    warn_untested(result, blank, "given p-values of 1 and effects of 0")
    skew = None
    if (method == "skew_normal" or with_skew) and options.n_resamples > 0:
        skew = fit_skew_normals(result.effect, result.null, side)
    if method == "skew_normal" and skew is not None:
        calibrated = Calibrated("skew_normal", skew.p, skew.fallback, side)
    elif method == "none":
        calibrated = Calibrated("none", raw_p(result), np.full(result.effect.shape, "", object))
    else:
        calibrated = calibrate(result, "saddlepoint", side)
    return Answer(result, raw_p(result), calibrated, skew, blank)


def _not_drawn(inputs: CRTInputs, units: Sequence[Unit]) -> CRTResult:
    """The result of no resamples: cells counted, nothing tested."""
    screen = inputs.screen
    names = [unit.name for unit in units]
    table = ResultTable(names, list(inputs.program_names), 0, [""] * len(units))
    for row, unit in enumerate(units):
        n1 = screen.treated_cells(unit).size
        table.count(row, n1, screen.n_cells, "B is not positive, so nothing was drawn")
    return table.result()


def _calibration(calibration: str, calibrate_skew_normal: bool) -> str:
    check_choice("calibration", calibration, CALIBRATIONS)
    if not calibrate_skew_normal:
        return calibration
    if calibration not in ("none", "skew_normal"):
        raise OptionError(
            f"calibration={calibration!r} and calibrate_skew_normal=True ask for two calibrations; "
            "leave one out (return_skew_normal=True gives skew-normal p-values beside others)"
        )
    return "skew_normal"


def _only_ols(options: RunOptions, method: str, return_skew_normal: bool) -> None:
    """The NTC empirical null is defined for OLS, without resamples to calibrate."""
    if options.statistic.name != "ols":
        raise OptionError(
            f"null_method='ntc_empirical' works with test_stat='ols', not "
            f"{options.statistic.name!r}; use null_method='crt' for it"
        )
    if method != "none" or return_skew_normal:
        raise OptionError(
            "null_method='ntc_empirical' draws nothing that could be calibrated; leave out "
            "calibration, calibrate_skew_normal and return_skew_normal"
        )
