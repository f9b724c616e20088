"""What a run found: discoveries, and, where the truth is known, power and false discoveries.

    power         = true effects declared / true effects tested
    realised FDR  = null tests declared / tests declared (0 where nothing is declared)
    sign error    = true effects declared with the wrong sign / true effects declared

A test is declared at a level where its q-value is at or below the level.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from programde.report.checked_tables import Metrics, need_columns, tested_column

from ..errors import InputError, OptionError

FDR_LEVELS: dict[str, float] = {"bh10": 0.10, "bh05": 0.05}


def discovery_counts(results: pd.DataFrame) -> Metrics:
    """Counts of tests and discoveries in a tidy results table.

    Parameters
    ----------
    results
        One row per target x program with columns `target, program, p_value, q_value`, and `guide`
        where guides were tested one by one.

    Returns
    -------
    dict
        `n_targets`, `n_programs`, `n_tests` (with a p-value), `n_untestable` (without),
        `discoveries_bh10`, `discoveries_bh05`, `targets_bh10`, `targets_bh05` (targets with at
        least one discovery), `programs_bh10`, `programs_bh05`, `smallest_p` (NaN where no test);
        `n_guides`, `guides_bh10`, `guides_bh05` where guides were tested one by one.

    Raises
    ------
    InputError
        A column is missing.
    """
    need_columns(results, ("target", "program", "p_value", "q_value"), "results table")
    tested = results["p_value"].notna().to_numpy()
    names = [name for name in ("guide", "target", "program") if name in results.columns]
    counts: Metrics = {
        **{f"n_{name}s": int(results[name].nunique()) for name in names},
        "n_tests": int(tested.sum()),
        "n_untestable": int((~tested).sum()),
    }
    for name, level in FDR_LEVELS.items():
        declared = results[(results["q_value"] <= level).to_numpy() & tested]
        counts[f"discoveries_{name}"] = len(declared)
        counts |= {f"{of}s_{name}": int(declared[of].nunique()) for of in names}
    counts["smallest_p"] = float(results["p_value"].min())
    return counts


def carried_by_one_guide(
    results: pd.DataFrame, concordance: pd.DataFrame, *, level: float = 0.1, least: float = 1.0
) -> pd.DataFrame:
    """Hits that rest on one guide: without it the others show next to nothing.

    Parameters
    ----------
    results
        One row per target x program (x condition): `target, program, q_value`.
    concordance
        What `controls.concordance.guide_concordance` returned.
    level
        A hit has q <= `level`.
    least
        The other guides together are expected to show at least so many standard errors in the
        direction of all.

    Returns
    -------
    DataFrame
        Rows of `concordance`, the clearest case first: those of hits with one guide alone, and
        those whose `z_without_leading`, in the direction of `z`, is below `least`.
    """
    need_columns(results, ("target", "program", "q_value"), "results table")
    need_columns(
        concordance, ("target", "program", "n_guides", "z", "z_without_leading"), "concordance"
    )
    hits = results.loc[(results["q_value"] <= level).to_numpy(), ["target", "program"]]
    rows = concordance.merge(hits.drop_duplicates(), on=["target", "program"])
    left = (rows["z_without_leading"] * np.sign(rows["z"])).where(rows["n_guides"] > 1, -np.inf)
    rows = rows.assign(left=left)[(left < least).to_numpy()]
    ordered = rows.sort_values(["left", "target"], kind="stable").drop(columns="left")
    return ordered.reset_index(drop=True)


def hits_with_their_guides(
    results: pd.DataFrame, concordance: pd.DataFrame, *, level: float = 0.1
) -> pd.DataFrame:
    """Rows of `concordance` of the hits, the least agreement between guides first.

    Parameters as of `carried_by_one_guide`.
    """
    hits = results.loc[(results["q_value"] <= level).to_numpy(), ["target", "program"]]
    rows = hits.drop_duplicates().merge(concordance, on=["target", "program"])
    return rows.sort_values("heterogeneity_p", kind="stable", ignore_index=True)


def calibrations_used(results: pd.DataFrame) -> pd.DataFrame:
    """How many tests rest on which calibration, and why where it is not the one asked for.

    Returns
    -------
    DataFrame
        `calibration`, `branch` and `fallback` as far as `results` has them, `tests`, `share`; and
        beside `p_moments`, `agree`: the share of p-values within 10 % of it.
    """
    columns = [c for c in ("calibration", "branch", "fallback") if c in results.columns]
    tested = results.loc[results["p_value"].notna(), columns].fillna("")
    counts = tested.value_counts().rename("tests").reset_index()
    counts["share"] = counts["tests"] / max(1, len(tested))
    if "p_moments" in results.columns:
        near = (results["p_moments"] / results["p_value"]).between(1 / 1.1, 1.1)
        shares = tested.assign(agree=near).groupby(columns, as_index=False)["agree"].mean()
        counts = counts.merge(shares, on=columns)
    return counts


#: How many cells a target has tells targets apart, not reasons.
_TOO_FEW = r"^[\d,]+ (.+ cells?), fewer than ([\d,]+)$"


def untested_by_reason(results: pd.DataFrame, n_names: int = 8) -> pd.DataFrame:
    """Tests without a p-value, counted by reason, the commonest first.

    Returns
    -------
    DataFrame
        `why`, `tests`, `targets` (or `guides`): how many, `which`: the first of their names.
    """
    of = tested_column(results)
    missing = results[results["p_value"].isna()]
    reason = missing["reason"] if "reason" in missing else pd.Series("", missing.index)
    reason = reason.fillna("").replace("", "no reason recorded")
    reason = reason.str.replace(_TOO_FEW, r"fewer than \2 \1", regex=True)
    names = missing[of].astype(str)
    if "condition" in missing:
        names = names + " in " + missing["condition"].astype(str)
    rows = []
    for why, part in missing.groupby(reason, sort=False):
        which = names[part.index].unique()
        more = f", … ({len(which):,} in all)" if len(which) > n_names else ""
        first = ", ".join(which[:n_names]) + more
        rows.append({"why": why, "tests": len(part), f"{of}s": part[of].nunique(), "which": first})
    table = pd.DataFrame(rows, columns=["why", "tests", f"{of}s", "which"])
    return table.sort_values("tests", ascending=False, kind="stable", ignore_index=True)


def truth_metrics(
    results: pd.DataFrame, truth: pd.DataFrame, *, min_effect: float = 0.0
) -> Metrics:
    """Power, realised false discovery rate and sign error against known true effects.

    Parameters
    ----------
    results
        One row per target x program with columns `target, program, effect, p_value, q_value`; where
        guides were tested one by one, one row per guide x program.
    truth : DataFrame, targets x programs
        True effects on the scale of `effect` (0 = null). Every target and program of `results` must
        be in it; others in it are ignored. Mind the composition: on the centred log-ratio scale a
        shift of one program shifts all others a little the other way.
    min_effect
        A test whose absolute true effect is at most this counts as null.

    Returns
    -------
    dict
        `n_true` (true effects among the tests done), `n_null`, `n_true_untested`; for "bh10" and
        "bh05": `discoveries_L`, `power_L`, `fdr_L`, `sign_error_L`. Power is NaN without a true
        effect, sign error NaN without a true discovery.

    Raises
    ------
    InputError
        A column, target or program is missing, or a true effect is not a number.
    """
    declared = with_truth(results, truth, min_effect=min_effect)
    tested = declared["p_value"].notna()
    done = declared[tested]
    real = done["is_real"].to_numpy()
    wrong = np.sign(done["effect"].to_numpy()) != np.sign(done["true_effect"].to_numpy())
    numbers: Metrics = {
        "n_true": int(real.sum()),
        "n_null": int((~real).sum()),
        "n_true_untested": int(declared.loc[~tested, "is_real"].sum()),
    }
    for name, level in FDR_LEVELS.items():
        hit = (done["q_value"] <= level).to_numpy()
        n_hit, n_right = int(hit.sum()), int((hit & real).sum())
        nan = float("nan")
        numbers |= {
            f"discoveries_{name}": n_hit,
            f"power_{name}": n_right / int(real.sum()) if real.any() else nan,
            f"fdr_{name}": (n_hit - n_right) / max(1, n_hit),
            f"sign_error_{name}": int((hit & real & wrong).sum()) / n_right if n_right else nan,
        }
    return numbers


def with_truth(
    results: pd.DataFrame, truth: pd.DataFrame, *, min_effect: float = 0.0
) -> pd.DataFrame:
    """`results` with the columns `true_effect` and `is_real`; arguments as in `truth_metrics`."""
    need_columns(results, ("target", "program", "effect", "p_value", "q_value"), "results table")
    if min_effect < 0:
        raise OptionError(f"min_effect={min_effect} must be at least 0")
    rows = truth.index.get_indexer(pd.Index(results["target"]))
    columns = truth.columns.get_indexer(pd.Index(results["program"]))
    for name, found, key in (("target", rows, "index"), ("program", columns, "columns")):
        if (found < 0).any():
            missing = results.loc[found < 0, name]
            raise InputError(
                f"truth has no {name} {missing.iloc[0]!r} ({missing.nunique()} of "
                f"{results[name].nunique()} missing); its {key} must hold every tested {name}"
            )
    effects = truth.to_numpy(dtype=np.float64)[rows, columns]
    if np.isnan(effects).any():
        raise InputError(f"truth holds {int(np.isnan(effects).sum())} NaN; use 0 for no effect")
    return results.assign(true_effect=effects, is_real=np.abs(effects) > min_effect)
