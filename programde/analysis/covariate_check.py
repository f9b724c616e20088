"""Are the covariates too simple? Score tests of squares and products beyond the model.

A test is biased where the same thing is missing from both models, that of treatment and that of the
outcome. So both are asked whether squares of continuous covariates, their products, and their
slopes per batch would add to them. With E the added columns less what the covariates C explain of
them, p the fitted propensity, W = p (1 - p), r the outcome's residual on C:

    treatment, per target    U = (E - C G)'(x - p),  G = (C'WC)^-1 C'WE,
                             V = E'WE - G'C'WE,      U'V^-1 U ~ chi2(columns of E)
    outcome, per program     S = E'r,  S' [E' diag(r^2) E]^-1 S ~ chi2(columns of E)

U does not hang on the ridge under the propensity (it is orthogonal to C's coefficients), the second
form not on equal variances. What the test statistic of a pair is shifted by, in standard errors, is
U'b / sqrt(sum W mean r^2), b = (E'E)^-1 S.

Sources: C. R. Rao, Proc. Cambridge Phil. Soc. 44 (1948) 50-57; J. Neyman, "Optimal asymptotic tests
of composite statistical hypotheses" (1959); H. White, Econometrica 48 (1980) 817-838.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import special
from threadpoolctl import threadpool_limits

from programde.crt.population import intercept_of, of_full_rank
from programde.crt.propensity import PropensitySolver
from programde.screen.chosen import brought_in, chosen_cells, is_stored
from programde.screen.columns import STRAIGHT, beyond
from programde.screen.screen import Screen, Unit
from programde.streams import generator

#: A target, or a program, rejects below this p-value.
LEVEL = 0.01
#: Covariates are cut off at so many standard deviations before they are squared or multiplied: the
#: law of a score then is near its limit with few treated cells, whatever the covariates' tails.
CUT = 3.0
#: Added columns at most, and how much of one the covariates must leave to be worth a test.
MAX_ADDED = 24
LEFT = 0.1
#: Targets at most; fewer in large screens (cells times targets).
MAX_TARGETS, MIN_TARGETS, WORK = 200, 50, 5_000_000
#: A target needs so many treated cells for each column, and a batch cells for a slope.
PER_COLUMN, PER_BATCH = 3, 50
#: Of a screen that is not in memory: cells that are looked at, cells times programs (with many
#: programs fewer cells are), and treated cells of a target.
MOST_CELLS, MOST_NUMBERS, MOST_TREATED = 100_000, 10_000_000, 500
#: Of so many cells matrices are too small to be shared out: threads would only wait for each other.
FEW_CELLS = 20_000
#: More targets reject than would (at twice their level) once in a thousand times, some program
#: does, and the largest twentieth of the shifts is above so many standard errors.
FALSE_ALARM, SHIFT = 1e-3, 0.2


@dataclass(frozen=True)
class CovariateCheck:
    """What the score tests found.

    Attributes
    ----------
    numbers
        ``added_columns``, ``targets_checked``, ``targets_rejecting``, ``programs_rejecting`` (at
        p < `LEVEL`), ``programs``, ``shift_median`` and ``shift_large`` (median and 95 % quantile,
        over pairs, of the absolute shift in standard errors); ``cells_looked_at`` where these were
        not all.
    targets : DataFrame, one row per target checked
        ``target, n_treated, statistic, df, p_value, most`` (the added column that says most).
    programs : DataFrame, one row per program
        ``program, statistic, df, p_value, partial_r2, most``.
    sentence
        That the covariates are too simple, and what to try; empty where they are not.
    """

    numbers: dict[str, float | int]
    targets: pd.DataFrame
    programs: pd.DataFrame
    sentence: str


def check_covariates(screen: Screen, units: Sequence[Unit] | None = None) -> CovariateCheck:
    """Ask the models of treatment and of the outcome for squares and products of covariates.

    Parameters
    ----------
    screen
        The screen; each target is compared with all other cells. Of one that is not in memory a
        sample is looked at (`some_cells`).
    units
        Whom to ask; default: the targets with the most treated cells.

    Returns
    -------
    CovariateCheck
        Where the covariates suffice for one of the two models, the sentence comes in less than one
        screen of a hundred (none of 400 simulated ones: docs/covariates.md).
    """
    units = screen.target_units() if units is None else units
    if is_stored(screen):
        with threadpool_limits(limits=1):  # matrices of a sample are too small to be shared out
            sample = some_cells(screen, units)
            check = check_covariates(*sample)
        looked_at = sample[0].n_cells
        if looked_at == screen.n_cells:
            return check
        told = f"{check.sentence} (seen in {looked_at:,} cells)" if check.sentence else ""
        numbers = {**check.numbers, "cells_looked_at": looked_at}
        return replace(check, numbers=numbers, sentence=told)
    if screen.n_cells > FEW_CELLS:
        return _checked(screen, units)
    with threadpool_limits(limits=1):
        return _checked(screen, units)


def _checked(screen: Screen, units: Sequence[Unit]) -> CovariateCheck:
    """`check_covariates` of a screen in memory."""
    C = screen.covariates
    added, names = added_columns(screen)
    p, q = C.shape[1], added.shape[1]
    few = PER_COLUMN * (p + q)
    cells = {unit.name: screen.treated_cells(unit) for unit in units}
    large = sorted(
        (unit for unit in units if few < cells[unit.name].size <= screen.n_cells // 2),
        key=lambda unit: (-cells[unit.name].size, unit.name),
    )
    large = large[: int(np.clip(WORK // screen.n_cells, MIN_TARGETS, MAX_TARGETS))] if q else []
    treated = [cells[unit.name] for unit in large]
    scores, variances, sizes = _treatment(C, added, treated)
    programs, slopes, spread = _outcome(screen, added, names)
    targets = pd.DataFrame(
        {
            "target": [unit.name for unit in large],
            "n_treated": [places.size for places in treated],
            **_chi2(scores, variances, names),
        }
    )
    shift = np.abs(scores @ slopes.T) / np.sqrt(np.outer(sizes, spread))
    numbers = {
        "added_columns": q,
        "targets_checked": len(targets),
        "targets_rejecting": int((targets["p_value"] < LEVEL).sum()),
        "programs": len(programs),
        "programs_rejecting": int((programs["p_value"] < LEVEL).sum()),
        "shift_median": float(np.median(shift)) if shift.size else 0.0,
        "shift_large": float(np.quantile(shift, 0.95)) if shift.size else 0.0,
    }
    return CovariateCheck(numbers, targets, programs, _sentence(screen, numbers, targets, programs))


def some_cells(screen: Screen, units: Sequence[Unit]) -> tuple[Screen, list[Unit]]:
    """A sample of a screen in memory, and the targets that it serves for.

    The targets with the most cells, `MOST_TREATED` of each, and as many of the cells without them
    as make `MOST_CELLS` in all, or fewer with many programs. How many of the treated are taken
    moves a propensity's intercept and no slope (R. L. Prentice and R. Pyke, Biometrika 66 (1979)
    403-411).
    """
    most = min(MOST_CELLS, max(MOST_CELLS // 5, MOST_NUMBERS // screen.n_programs))
    if screen.n_cells <= most:
        return of_full_rank(brought_in(screen)), list(units)
    rng = generator(0, "covariate check")
    cells = {unit.name: screen.treated_cells(unit) for unit in units}
    fitting = [unit for unit in units if cells[unit.name].size <= screen.n_cells // 2]
    large = sorted(fitting, key=lambda unit: (-cells[unit.name].size, unit.name))[:MIN_TARGETS]
    taken, theirs = np.zeros((2, screen.n_cells), dtype=bool)
    for unit in large:
        treated = cells[unit.name]
        theirs[treated] = True
        few = min(treated.size, MOST_TREATED, most // (2 * MIN_TARGETS))
        taken[rng.choice(treated, few, replace=False)] = True
    rest = np.flatnonzero(~theirs)
    more = min(rest.size, most - int(taken.sum()))
    taken[rest[rng.choice(rest.size, more, replace=False)]] = True
    return of_full_rank(brought_in(chosen_cells(screen, np.flatnonzero(taken)))), large


def added_columns(screen: Screen) -> tuple[np.ndarray, list[str]]:
    """Squares, products and slopes per batch of the continuous covariates, beyond all columns.

    Returns
    -------
    columns : (N, q) float64
        Orthogonal to the covariates and each other, mean square 1.
    names
        What each stems from.
    """
    C, tiers = screen.covariates, screen.covariate_tiers
    straight = np.arange(C.shape[1]) if tiers is None else np.flatnonzero(tiers == STRAIGHT)
    cut: dict[str, np.ndarray] = {}
    for j in straight:
        values = C[:, j]
        if values.std() > 0 and np.unique(values[: 10 * PER_BATCH]).size > 20:
            cut[screen.covariate_names[j]] = np.clip(
                (values - values.mean()) / values.std(), -CUT, CUT
            )
    columns = {f"{name} squared": w * w for name, w in cut.items()}
    columns |= {f"{a} x {b}": cut[a] * cut[b] for a, b in combinations(cut, 2)}
    if screen.batch is not None:
        levels, counts = np.unique(screen.batch.astype(str), return_counts=True)
        own = [level for level, n in zip(levels[1:], counts[1:], strict=True) if n >= PER_BATCH]
        columns |= {
            f"batch={level} x {name}": w * (screen.batch == level)
            for name, w in cut.items()
            for level in own
        }
    if not columns:
        return np.empty((len(C), 0)), []
    scaled = C / np.sqrt((C**2).mean(axis=0))
    taken = list(columns)[: 4 * MAX_ADDED]
    found, kept = beyond(scaled, np.column_stack([columns[name] for name in taken]), LEFT)
    return found[:, :MAX_ADDED], [taken[j] for j in kept][:MAX_ADDED]


def _treatment(
    C: np.ndarray, added: np.ndarray, treated: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (G, q) and their variances (G, q, q) of each target, and sum W (G,)."""
    p, q = C.shape[1], added.shape[1]
    scores, variances = np.zeros((len(treated), q)), np.zeros((len(treated), q, q))
    sizes = np.zeros(len(treated))
    if not treated:
        return scores, variances, sizes
    solver = PropensitySolver(C, intercept_of(C))
    theta = solver.fit(treated).theta
    both = np.hstack([C, added])
    single = both.astype(np.float32)  # for the variances alone, of which few digits are wanted
    weighted = np.empty_like(single)
    for g, places in enumerate(treated):
        probability = solver.probabilities(theta[g])
        W = probability * (1 - probability)
        np.multiply(single, W.astype(np.float32)[:, None], out=weighted)
        information = (weighted.T @ single).astype(np.float64)
        score = both[places].sum(axis=0) - probability @ both
        G = np.linalg.lstsq(information[:p, :p], information[:p, p:], rcond=None)[0]
        scores[g] = score[p:] - score[:p] @ G
        variances[g] = information[p:, p:] - G.T @ information[:p, p:]
        sizes[g] = W.sum()
    return scores, variances, sizes


def _outcome(
    screen: Screen, added: np.ndarray, names: list[str]
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The programs' table, their slopes on the added columns (K, q), and mean r^2 (K,)."""
    C, n, q = screen.covariates, screen.n_cells, added.shape[1]
    Q = np.linalg.qr(C / np.sqrt((C**2).mean(axis=0)))[0]
    K = screen.n_programs
    scores, variances = np.zeros((K, q)), np.zeros((K, q, q))
    spread = np.zeros(K)
    for k in range(K):
        y = screen.clr[:, k]
        r = y - Q @ (Q.T @ y)
        spread[k] = r @ r / n
        scores[k] = r @ added
        weighted = added * r[:, None]
        variances[k] = weighted.T @ weighted
    slopes = scores / n
    explained = np.divide((slopes**2).sum(axis=1), spread, out=np.zeros(K), where=spread > 0)
    tested = _chi2(scores, variances, names)
    most = tested.pop("most")
    table = {"program": screen.program_names, **tested, "partial_r2": explained, "most": most}
    return pd.DataFrame(table), slopes, np.maximum(spread, np.finfo(float).tiny)


def _chi2(
    scores: np.ndarray, variances: np.ndarray, names: list[str]
) -> dict[str, np.ndarray | list[str] | int]:
    """U'V^-1 U of each row, its p-value, and the column that alone would say most."""
    q = scores.shape[1]
    if not len(scores) or not q:
        nothing = np.full(len(scores), np.nan)
        return {"statistic": nothing, "df": q, "p_value": nothing, "most": [""] * len(scores)}
    inverse = np.linalg.pinv(variances, hermitian=True)
    statistic = np.einsum("gi,gij,gj->g", scores, inverse, scores)
    own = np.einsum("gii->gi", variances)
    alone = np.divide(scores**2, own, out=np.zeros_like(scores), where=own > 0)
    return {
        "statistic": statistic,
        "df": q,
        "p_value": special.chdtrc(q, statistic),
        "most": [names[j] for j in alone.argmax(axis=1)],
    }


def _sentence(
    screen: Screen,
    numbers: dict[str, float | int],
    targets: pd.DataFrame,
    programs: pd.DataFrame,
) -> str:
    n, found = numbers["targets_checked"], numbers["targets_rejecting"]
    by_chance = float(special.bdtrc(found - 1, n, 2 * LEVEL)) if n else 1.0
    lowest = float(programs["p_value"].min()) * len(programs) if len(programs) else 1.0
    if not (by_chance < FALSE_ALARM and lowest < FALSE_ALARM and numbers["shift_large"] > SHIFT):
        return ""
    rejecting = targets[targets["p_value"] < LEVEL]
    most = rejecting["most"].value_counts(sort=True).index[:2].tolist()
    simple = screen.covariate_tiers is None or not screen.covariate_tiers.any()
    cure = "covariates.formula=auto" if simple else "covariates.formula with those terms"
    return (
        f"the covariates are too simple: {found} of {n} targets and "
        f"{numbers['programs_rejecting']} of {numbers['programs']} programs depend on squares or "
        f"products of covariates that are not in the model (most on {' and '.join(most)}), and "
        f"the largest twentieth of the tests is off by {numbers['shift_large']:.1f} standard "
        f"errors or more; try {cure}"
    )
