"""Results as tidy tables: one row per target x program, and one per target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from programde.analysis.calibrate import Calibrated, raw_p
from programde.calibration.acat import acat
from programde.calibration.direct import DirectEffects, direct_effects
from programde.calibration.fdr import benjamini_hochberg, storey
from programde.calibration.options import FdrOptions
from programde.crt.results import CRTResult
from programde.errors import OptionError, check_choice
from programde.screen.options import TRANSFORMS

DIRECT_DELTA: float = FdrOptions.direct_delta
#: Half a 95 % interval in standard errors: the normal law's quantile at 0.975.
HALF_95 = 1.959963984540054

ADJUST: dict[str, Callable[..., np.ndarray]] = {"bh": benjamini_hochberg, "storey": storey}


def adjust_p(p: np.ndarray, method: str = "bh") -> np.ndarray:
    """q-values over all tests of `p`, of any shape; NaN stays NaN and does not count."""
    check_choice("adjust", method, ADJUST)
    return np.asarray(ADJUST[method](p))


def effect_unit(statistic: str, transform: str = "clr") -> str:
    """What effects are measured in: a rank statistic has a unit of its own, whatever the scale."""
    return "rank-biserial correlation" if statistic == "utest" else TRANSFORMS[transform]


def results_table(
    result: CRTResult,
    calibrated: Calibrated,
    *,
    side: str | None = None,
    adjust: str = "bh",
    level: str = "target",
    target_of: Mapping[str, str] | None = None,
    unit: str | None = None,
    direct_delta: float = DIRECT_DELTA,
) -> pd.DataFrame:
    """One row per target x program.

    Parameters
    ----------
    result
        Tests of G units on K programs; control units must not be among them, since q-values are
        over all tests given.
    calibrated
        Their p-values, and their side.
    side
        Not needed: the side is that of `calibrated`. Another one is refused.
    adjust
        ``"bh"`` or ``"storey"``.
    level
        Name of the column that holds what was tested: ``"target"``, or ``"group"`` for control
        groups.
    target_of
        Where guides were tested one by one: target of each guide. The first column is then
        `guide`, the second `target`.
    unit
        What effects are measured in, see `effect_unit`: the column `effect_unit`; None for none.
    direct_delta
        By how much (log-ratio) a mirror image may be wrong, at most; see `calibration.direct`.

    Returns
    -------
    DataFrame
        target, program, effect, effect_se (HC3 for OLS, see `crt.statistics.ols`; NaN for ranks),
        p_raw, p_value, q_value (does this log-ratio move?), p_direct, q_direct (was this program
        touched, beyond the mirror image of the target's other shifts?), n_treated, n_control,
        null_mean, null_sd, calibration, fallback, reason (why there is no p-value), effect_low and
        effect_high (95 % interval of the effect by its standard error, effect -/+ 1.96 effect_se,
        of this one test: not corrected for the others; NaN for ranks), usage_difference (of mean
        usages, covariates adjusted for), log_ratio (the least-squares effect on the centred
        log-ratio, whatever is tested), mirror (the log-ratio shift that the program would show were
        it untouched), direct_reason (why there is no p_direct). Where the calibration has
        several ways, `branch` after `calibration` names the one taken. Beside exact tails,
        `p_moments` at the end: p-values of the skew-normal with the exact null moments, a check
        that costs nothing. Where the analysis was repeated by condition, the first column is
        `condition` and after q_value (over all rows) comes q_value_within (over the rows of the
        condition), after q_direct q_direct_within.

    Raises
    ------
    OptionError
        If `side` is not that of `calibrated`.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> screen = pde.screen_from_anndata(adata, usage_key="usage")
    >>> options = pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0)
    >>> result = pde.run_targets(screen, options, ntc_labels="NTC")
    >>> list(pde.results_table(result, pde.calibrate(result, "saddlepoint")))[:4]
    ['target', 'program', 'effect', 'effect_se']
    """
    side = _side_of(calibrated, side)
    n_units, n_programs = result.effect.shape
    p_raw = raw_p(result, side)
    tested = np.array([reason == "" for reason in result.status])
    blank = ~tested[:, None] | ~np.isfinite(result.effect)
    p_value = np.where(blank, np.nan, calibrated.p_value)
    reasons = np.array(
        [reason if reason else "effect is not a number" for reason in result.status], dtype=object
    )
    untold = np.full(p_value.shape, f"calibrate={calibrated.method} gives no p-value", dtype=object)
    if calibrated.reason is not None:
        untold = np.where(calibrated.reason == "", untold, calibrated.reason)
    silent = ~blank & ~np.isfinite(p_value)
    half = HALF_95 * result.effect_se
    direct = direct_of(result, p_value, direct_delta, side)
    known = np.isfinite(p_value)
    names = _name_columns(result.units, level, target_of)
    table = {
        **{name: np.repeat(column, n_programs) for name, column in names.items()},
        "program": np.tile(np.array(result.programs, dtype=object), n_units),
        "effect": result.effect.ravel(),
        "effect_se": result.effect_se.ravel(),
        "p_raw": np.where(blank, np.nan, p_raw).ravel(),
        "p_value": p_value.ravel(),
        "q_value": adjust_p(p_value, adjust).ravel(),
        "p_direct": direct.p_value.ravel(),
        "q_direct": adjust_p(direct.p_value, adjust).ravel(),
        "n_treated": np.repeat(result.n_treated, n_programs),
        "n_control": np.repeat(result.n_control, n_programs),
        "null_mean": result.null.mean.ravel(),
        "null_sd": result.null.sd.ravel(),
        "calibration": np.full(n_units * n_programs, calibrated.method, dtype=object),
        "fallback": np.where(blank | silent, "", calibrated.fallback).ravel(),
        "reason": np.where(blank, reasons[:, None], np.where(silent, untold, "")).ravel(),
        "effect_low": (result.effect - half).ravel(),
        "effect_high": (result.effect + half).ravel(),
        "usage_difference": _shift_of(result, "usage").ravel(),
        "log_ratio": _shift_of(result, "log_ratio").ravel(),
        "mirror": direct.mirror.ravel(),
        "direct_reason": np.where(
            np.isfinite(direct.p_value), "", np.where(known, direct.reason[:, None], "no p-value")
        ).ravel(),
    }
    frame = pd.DataFrame(table)
    if calibrated.p_moments is not None:
        frame["p_moments"] = np.where(blank, np.nan, calibrated.p_moments).ravel()
    if unit is not None:
        frame["effect_unit"] = unit
    if calibrated.branch is not None:
        branch = np.where(blank, "", calibrated.branch).ravel()
        frame.insert(list(frame.columns).index("calibration") + 1, "branch", branch)
    return _by_condition(
        frame, np.repeat(result.condition, n_programs), ("p_value", "p_direct"), adjust
    )


def direct_of(
    result: CRTResult, p_value: np.ndarray, delta: float = DIRECT_DELTA, side: str = "both"
) -> DirectEffects:
    """Tests of direct effects, on log-ratios whatever the result tests.

    Parameters
    ----------
    result
        Tests of G units.
    p_value : (G, K)
        Their p-values.
    delta, side
        See `calibration.direct.direct_effects`.
    """
    shifts = result.shifts
    if shifts is None:
        none = np.full(result.effect.shape, np.nan)
        reason = np.full(len(result.units), "the result holds no log-ratio effects", dtype=object)
        return DirectEffects(none, none, none, reason)
    present = (shifts.present, shifts.present_se, shifts.present_cells)
    return direct_effects(
        shifts.log_ratio, shifts.log_ratio_se, p_value, shifts.above_floor, delta, side, present
    )


def _shift_of(result: CRTResult, name: str) -> np.ndarray:
    """Effects on another scale (G, K); NaN where the result was made without."""
    if result.shifts is None:
        return np.full(result.effect.shape, np.nan)
    return np.asarray(getattr(result.shifts, name))


def with_programs(results: pd.DataFrame, programs: pd.DataFrame) -> pd.DataFrame:
    """Results with what is known of each program.

    Parameters
    ----------
    results
        With a column `program`.
    programs
        By program: `label` (what people call it) and `top_genes`, both text, "" where unknown.

    Returns
    -------
    DataFrame
        `results` with `program_label` and `program_top_genes` at its end; a column without any
        entry is left out.
    """
    out = results.copy()
    for column in ("label", "top_genes"):
        if (programs[column] != "").any():
            out[f"program_{column}"] = results["program"].map(programs[column]).to_numpy()
    return out


def _side_of(calibrated: Calibrated, asked: str | None) -> str:
    """The side of the calibrated p-values; asking for another one is a mistake."""
    side = calibrated.side
    if asked not in (None, side):
        raise OptionError(
            f"side={asked}, but the p-values were calibrated with side={side}: leave side out, or "
            f"calibrate with side={asked}"
        )
    return side


def _name_columns(
    units: Sequence[str], level: str, target_of: Mapping[str, str] | None
) -> dict[str, np.ndarray]:
    """The columns that say what was tested."""
    names = np.array(units, dtype=object)
    if target_of is None:
        return {level: names}
    targets = np.array([target_of[name] for name in units], dtype=object)
    return {"guide": names, "target": targets}


def _by_condition(
    frame: pd.DataFrame, condition: np.ndarray, p_columns: Sequence[str], adjust: str
) -> pd.DataFrame:
    """Add the condition and the q-values within it, where there is one."""
    if not any(condition):
        return frame
    for p_column in p_columns:
        within = np.full(len(frame), np.nan)
        p = frame[p_column].to_numpy()
        for level in np.unique(condition):
            rows = condition == level
            within[rows] = adjust_p(p[rows], adjust)
        q_column = p_column.replace("p_", "q_")
        frame.insert(list(frame.columns).index(q_column) + 1, f"{q_column}_within", within)
    frame.insert(0, "condition", condition.astype(object))
    return frame


def omnibus_table(
    result: CRTResult,
    calibrated: Calibrated,
    *,
    adjust: str = "bh",
    level: str = "target",
    target_of: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """One row per target: does it shift any program?

    Parameters
    ----------
    result, calibrated, adjust, level, target_of
        As of `results_table`.

    Returns
    -------
    DataFrame
        target (guide and target, where guides were tested one by one), p_max (largest absolute
        standardised statistic over programs against its own null;
        Westfall and Young 1993; two-sided whatever the side of the calibrated p-values; NaN
        without draws), p_acat (Cauchy combination of the calibrated p-values, hence of their side;
        Liu and Xie 2020), their q-values, n_treated, and the program of the smallest p-value. By
        condition, `condition` comes first and q_max_within, q_acat_within after q_max, q_acat.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> screen = pde.screen_from_anndata(adata, usage_key="usage")
    >>> options = pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0)
    >>> result = pde.run_targets(screen, options, ntc_labels="NTC")
    >>> len(pde.omnibus_table(result, pde.calibrate(result, "saddlepoint")))
    4
    """
    tested = np.array([reason == "" for reason in result.status])
    p = np.where(tested[:, None], calibrated.p_value, np.nan)
    p_acat = acat(p, axis=1)
    p_max = np.where(tested, result.p_max, np.nan)
    filled = np.where(np.isfinite(p), p, np.inf)
    best = filled.argmin(axis=1)
    programs = np.array(result.programs, dtype=object)
    some = np.isfinite(p).any(axis=1)
    table = pd.DataFrame(
        {
            **_name_columns(result.units, level, target_of),
            "p_max": p_max,
            "q_max": adjust_p(p_max, adjust),
            "p_acat": p_acat,
            "q_acat": adjust_p(p_acat, adjust),
            "n_treated": result.n_treated,
            "top_program": np.where(some, programs[best], ""),
            "top_effect": np.where(some, result.effect[np.arange(best.size), best], np.nan),
        }
    )
    return _by_condition(table, np.array(result.condition), ("p_max", "p_acat"), adjust)


def ntc_table(
    p_values: Mapping[str, np.ndarray],
    result: CRTResult,
    partitions: Sequence[Mapping[str, str]],
) -> pd.DataFrame:
    """P-values of control groups as a long table.

    Parameters
    ----------
    p_values
        Kind (``raw``, ``skew_normal``, ...) -> (G, K).
    result
        Tests of the G distinct groups.
    partitions
        Group id -> unit name in `result`, for each partition.

    Returns
    -------
    DataFrame
        partition, condition, group, program, one column per kind. A group that recurs in several
        partitions stands once for each.
    """
    row = {key: i for i, key in enumerate(zip(result.condition, result.units, strict=True))}
    levels = list(dict.fromkeys(result.condition))
    programs = np.array(result.programs, dtype=object)
    parts = []
    for number, partition in enumerate(partitions):
        for level in levels:
            names = list(partition.values())
            at = [row[level, name] for name in names]
            part: dict[str, np.ndarray] = {
                "partition": np.full(len(at) * programs.size, number),
                "condition": np.full(len(at) * programs.size, level, dtype=object),
                "group": np.repeat(np.array(names, dtype=object), programs.size),
                "program": np.tile(programs, len(at)),
            }
            part.update({kind: p[at].ravel() for kind, p in p_values.items()})
            parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)
