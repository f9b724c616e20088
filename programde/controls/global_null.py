"""Global-null diagnostics: one row per unit that says whether its test behaves as a null should.

On a screen without effects, or for groups of non-targeting guides, every p-value should be uniform.
Where it is not, the row tells where to look: how well the propensity separates treated cells from
the others (area under the ROC curve), covariate levels without a treated cell (the logistic
likelihood is then unbounded), the centre, spread and skewness of the null, the smallest p-value.

AUC = (sum of ranks of the treated cells' propensities - n1 (n1 + 1) / 2) / (n1 n0), the chance that
a treated cell has a larger propensity than another cell (Bamber 1975, J. Math. Psychol. 12:387).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from programde.calibration.empirical import empirical_p
from programde.calibration.skew_normal import calibrate as fit_skew_normals
from programde.crt.control_group import ControlGroup
from programde.crt.engine import PreparedPopulation, RunOptions, run_tasks
from programde.crt.plan import plan
from programde.crt.protocols import Law
from programde.crt.results import CRTResult
from programde.errors import InputError
from programde.screen.screen import Screen, Unit

COLUMNS = (
    "unit",
    "n_guides",
    "n_treated",
    "n_control",
    "propensity_mean",
    "propensity_min",
    "propensity_max",
    "propensity_auc",
    "expected_treated",
    "separated",
    "separated_by",
    "null_mean",
    "null_sd",
    "null_skewness",
    "null_shift_worst",
    "null_skewness_worst",
    "p_smallest",
    "p_smallest_program",
    "p_any_program",
    "p_skew_normal_smallest",
    "n_skew_normal_refused",
    "share_below_05",
    "share_below_01",
    "n_programs",
    "reason",
)


def oracle_propensity_const(C: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The propensity of a screen without confounding: every cell's is the treated share.

    Parameters
    ----------
    C : (N, p)
        Covariates; only their number of rows matters.
    x : (N,)
        Indicator of treatment.

    Returns
    -------
    (N,) float64
        To be passed as `propensity_model`.
    """
    return np.full(len(C), float(np.mean(x)))


def unit_diagnostics(
    screen: Screen, units: Sequence[Unit], options: RunOptions, skew_side: str = "both"
) -> pd.DataFrame:
    """Diagnostics of units tested against the complement of their treated cells.

    Parameters
    ----------
    screen
        The screen.
    units
        Units, row by row.
    options
        How they are tested; null columns are NaN without resamples.
    skew_side
        Side of the skew-normal p-values.

    Returns
    -------
    DataFrame
        `COLUMNS`. The propensity is the mean of the resampled indicator (with stratified
        permutation the treated share of the cell's stratum). `null_mean`, `null_sd` and
        `null_skewness` are medians over programs on the scale of the statistic;
        `null_shift_worst` is the largest absolute null mean in null standard deviations;
        `null_skewness_worst` the skewness largest in absolute value; `p_any_program` the omnibus
        p-value; shares are of programs with a raw p-value at or below 0.05 and 0.01.
    """
    treated = [screen.treated_cells(unit) for unit in units]
    moments = np.full((len(units), 5), np.nan)

    def watch(row: int, _: PreparedPopulation, law: Law, effect: np.ndarray) -> None:
        p = law.mean()
        moments[row] = p.mean(), p.min(), p.max(), area_under_roc(p, treated[row]), p.sum()

    control = ControlGroup("complement", "", None)
    names = [unit.name for unit in units]
    tasks = plan(screen, units, control)
    result = run_tasks(tasks, names, screen.program_names, options, watch, "diagnostics")
    levels = _levels(screen)
    separated = [_separated_by(levels, cells, screen.n_cells) for cells in treated]
    table: dict[str, Any] = {
        "unit": names,
        "n_guides": [len(unit.guides) for unit in units],
        "n_treated": result.n_treated,
        "n_control": result.n_control,
    }
    for j, name in enumerate(("mean", "min", "max", "auc")):
        table[f"propensity_{name}"] = moments[:, j]
    table["expected_treated"] = moments[:, 4]
    table["separated"] = [bool(by) for by in separated]
    table["separated_by"] = separated
    table |= _null_columns(result, skew_side)
    table["n_programs"] = np.full(len(units), screen.n_programs)
    table["reason"] = result.status
    return pd.DataFrame(table, columns=list(COLUMNS))


def area_under_roc(p: np.ndarray, treated: np.ndarray) -> float:
    """Chance that a treated cell's `p` (n,) exceeds another cell's, ties counted half."""
    from scipy.stats import rankdata

    n1 = treated.size
    n0 = p.size - n1
    if n1 == 0 or n0 == 0:
        return float("nan")
    return float((rankdata(p)[treated].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def _null_columns(result: CRTResult, skew_side: str) -> dict[str, Any]:
    """What the null draws say, by unit; NaN where nothing was drawn."""
    null = result.null
    n_units = len(result.units)
    columns: dict[str, Any] = {
        name: np.full(n_units, np.nan) for name in COLUMNS if name.startswith(("null_", "p_"))
    }
    columns |= {"share_below_05": np.full(n_units, np.nan)}
    columns |= {"share_below_01": np.full(n_units, np.nan)}
    columns["p_smallest_program"] = np.full(n_units, "", dtype=object)
    columns["n_skew_normal_refused"] = np.zeros(n_units, dtype=np.int64)
    if null.n_draws < 1:
        return columns
    p = empirical_p(null, "both")
    smooth = fit_skew_normals(result.effect, null, skew_side)
    programs = np.array(result.programs, dtype=object)
    for g in np.flatnonzero(np.isfinite(p).any(axis=1)).tolist():
        used = np.isfinite(p[g])
        mean, sd, skewness = (getattr(null, name)[g][used] for name in ("mean", "sd", "skewness"))
        shift = np.divide(np.abs(mean), sd, out=np.zeros_like(mean), where=sd > 0)
        known = skewness[np.isfinite(skewness)]
        columns["null_mean"][g] = np.median(mean)
        columns["null_sd"][g] = np.median(sd)
        columns["null_shift_worst"][g] = shift.max()
        if known.size:
            columns["null_skewness"][g] = np.median(known)
            columns["null_skewness_worst"][g] = known[np.argmax(np.abs(known))]
        columns["p_smallest"][g] = p[g][used].min()
        columns["p_smallest_program"][g] = programs[used][p[g][used].argmin()]
        columns["p_any_program"][g] = result.p_max[g]
        columns["p_skew_normal_smallest"][g] = smooth.p[g][used].min()
        columns["n_skew_normal_refused"][g] = np.count_nonzero(smooth.fallback[g][used] != "")
        columns["share_below_05"][g] = np.mean(p[g][used] <= 0.05)
        columns["share_below_01"][g] = np.mean(p[g][used] <= 0.01)
    return columns


def _levels(screen: Screen) -> dict[str, np.ndarray]:
    """Codes (N,) of every covariate that sorts cells into levels."""
    levels: dict[str, np.ndarray] = {}
    for j, name in enumerate(screen.covariate_names):
        column = screen.covariates[:, j]
        if np.isin(column, (0.0, 1.0)).all() and column.min() < column.max():
            levels[name] = column.astype(np.int64)
    if screen.batch is not None:
        codes = np.unique(screen.batch.astype(str), return_inverse=True)[1].reshape(-1)
        if codes.max() > 0:
            levels["batch"] = codes.astype(np.int64)
    return levels


def _separated_by(levels: dict[str, np.ndarray], treated: np.ndarray, n_cells: int) -> str:
    """Covariates with a level in which none or all of the cells are treated, comma-separated."""
    if treated.size in (0, n_cells):
        return ""
    found = []
    for name, codes in levels.items():
        sizes = np.bincount(codes)
        held = np.bincount(codes[treated], minlength=sizes.size)
        if (((held == 0) | (held == sizes)) & (sizes > 0)).any():
            found.append(name)
    return ", ".join(found)


def summarize_diagnostics(table: pd.DataFrame, by: str = "kind") -> pd.DataFrame:
    """A row per kind of unit: are they, as a whole, what a null should give?

    Parameters
    ----------
    table
        From `unit_diagnostics`; several may be concatenated.
    by
        Column that tells them apart; where it is missing, all rows are one kind.

    Returns
    -------
    DataFrame
        n_units, n_tested, n_separated, median and largest AUC, rate_05 and rate_01 (share of
        unit x program tests at or below), any_program_rate_05 (share of units whose omnibus
        p-value is at or below 0.05) with its 95 % interval (Wilson 1927, JASA 22:209),
        any_program_ks (Kolmogorov-Smirnov distance of these p-values from uniform), the largest
        null shift and skewness, the smallest p-values, and the share of refused skew-normal fits.

    Raises
    ------
    InputError
        The table is empty, or not one of `unit_diagnostics`.
    """
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing or table.empty:
        raise InputError(
            f"the table is empty or lacks {', '.join(missing[:3]) or 'rows'}; "
            "give one from unit_diagnostics"
        )
    kinds = table[by] if by in table.columns else pd.Series("all", index=table.index)
    rows = {kind: _summary(part) for kind, part in table.groupby(kinds.to_numpy(), sort=False)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)


def _summary(part: pd.DataFrame) -> dict[str, Any]:
    tested = part[part["reason"] == ""]
    any_p = tested["p_any_program"].dropna().to_numpy()
    hits = int((any_p <= 0.05).sum())
    low, high = wilson_interval(hits, any_p.size)
    n_tests = int(tested["n_programs"].sum())
    return {
        "n_units": len(part),
        "n_tested": len(tested),
        "n_separated": int(part["separated"].sum()),
        "auc_median": tested["propensity_auc"].median(),
        "auc_largest": tested["propensity_auc"].max(),
        "rate_05": tested["share_below_05"].mean(),
        "rate_01": tested["share_below_01"].mean(),
        "any_program_rate_05": hits / any_p.size if any_p.size else np.nan,
        "any_program_rate_05_low": low,
        "any_program_rate_05_high": high,
        "any_program_ks": ks_distance(any_p),
        "null_shift_worst": tested["null_shift_worst"].max(),
        "null_skewness_worst": tested["null_skewness_worst"].abs().max(),
        "p_smallest": tested["p_smallest"].min(),
        "p_skew_normal_smallest": tested["p_skew_normal_smallest"].min(),
        "skew_normal_refused": tested["n_skew_normal_refused"].sum() / max(n_tests, 1),
    }


def wilson_interval(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share of `n` independent trials; NaN without trials."""
    if n == 0:
        return float("nan"), float("nan")
    share = hits / n
    middle = share + z**2 / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float((middle - half) / (1 + z**2 / n)), float((middle + half) / (1 + z**2 / n))


def ks_distance(p: np.ndarray) -> float:
    """Largest distance between the distribution of `p` and the uniform one; NaN without any."""
    if p.size == 0:
        return float("nan")
    ordered = np.sort(p)
    steps = np.arange(1, p.size + 1) / p.size
    return float(max((steps - ordered).max(), (ordered - steps + 1 / p.size).max()))
