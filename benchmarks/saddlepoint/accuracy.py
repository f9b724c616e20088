"""``python -m benchmarks.saddlepoint.accuracy``: computed against true tail probabilities.

The grid: sizes x propensities x samplers, each with all outcomes, statistics, sides and levels. For
each point the threshold is put where the library's one-sided p-value is 1e-2 ... 1e-6; the true
probability there is counted in plain draws of the statistic itself (`draws.py`), and from 1e-4 on
in importance draws as well. Beside it the skew-normal: fitted to 1,023 plain draws, twenty times,
and from the exact null moments.

Each size, propensity and sampler is kept in ``benchmarks/results/saddlepoint-accuracy.json`` as
soon as it is done, and not computed again. At the end the table goes into ``docs/saddlepoint.md``
and the picture beside it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from programde.calibration.moments import moment_skew_normal
from programde.calibration.skew_normal import skew_normal_from_moments
from programde.progress import Progress
from programde.tails.exact import BRANCHES

from .draws import bernoulli_draws, log_symmetric, stratified_draws, walker
from .problem import (
    STATISTICS,
    Problem,
    linearise,
    make_problem,
    only,
    real_outcome,
    tails,
    threshold_at,
)

SIZES = (5, 10, 15, 30, 60, 300, 1500)
LEVELS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
SIDES = ("right", "left")
SAMPLERS = ("bernoulli", "stratified_perm")
IMPORTANCE_FROM = 2  # index in LEVELS
RESAMPLES = 1023
REPLICATES = 20
_CHUNK = 500_000  # plain draws between two moves of the progress bar

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "saddlepoint-accuracy.json"


def run_cell(
    problem: Problem,
    sampler: str,
    n_draws: int,
    n_importance: int,
    seed: int,
    bar: Progress | None = None,
) -> list[dict[str, Any]]:
    """All outcomes, statistics, sides and levels of one propensity under one sampler."""
    K = len(problem.outcomes)
    pilot = explicit(problem, sampler, 4000, seed)
    upper = np.empty((2 * K, len(LEVELS)))
    lower = np.empty((2 * K, len(LEVELS)))
    for j in range(2 * K):
        for level, wanted in enumerate(LEVELS):
            for side, into in zip(SIDES, (upper, lower), strict=True):
                into[j, level] = threshold_at(
                    problem, STATISTICS[j // K], sampler, j % K, wanted, side, pilot[:, j]
                )
    hits = np.zeros((2, *upper.shape))
    for chunk, begin in enumerate(range(0, n_draws, _CHUNK)):
        size = min(_CHUNK, n_draws - begin)
        hits += plain(problem, sampler, size, 1000 * seed + chunk, upper, lower)[0]
        if bar is not None:
            bar.advance(size)
    fits = explicit(problem, sampler, RESAMPLES * REPLICATES, seed + 2)
    fits = fits.reshape(REPLICATES, RESAMPLES, 2 * K)
    rows = []
    for j in range(2 * K):
        statistic, k = STATISTICS[j // K], j % K
        one = only(problem, k)
        for side_index, (side, t_of) in enumerate(zip(SIDES, (upper, lower), strict=True)):
            for level in range(len(LEVELS)):
                t = t_of[j, level]
                found = tails(one, statistic, sampler, np.array([t]))
                row: dict[str, Any] = {
                    "sampler": sampler,
                    "statistic": statistic,
                    "outcome": problem.outcomes[k],
                    "side": side,
                    "level": LEVELS[level],
                    "t": float(t),
                    "p": float(found.p_value(side)[0]),
                    "branch": BRANCHES[found.branch[0]],
                    "hits": int(hits[side_index, j, level]),
                    "draws": n_draws,
                    "skew_normal": fitted_skew_normal(fits[:, :, j], t, side),
                    "moment_skew_normal": float(moment_skew_normal(found, side)[0]),
                }
                if level >= IMPORTANCE_FROM and n_importance:
                    truth, error = importance(
                        one, statistic, sampler, t, side, n_importance, seed + 3 + level
                    )
                    row["truth_importance"], row["importance_error"] = truth, error
                rows.append(row)
    return rows


def fitted_skew_normal(draws: np.ndarray, t: float, side: str) -> list[float]:
    """One-sided p-values at t of skew-normals fitted to each row of draws (replicates, B):
    smallest, median, largest."""
    mean, sd = draws.mean(axis=1), draws.std(axis=1)
    skewness = (((draws - mean[:, None]) / sd[:, None]) ** 3).mean(axis=1)
    p = skew_normal_from_moments(mean, sd, skewness, t, side)
    return [float(value) for value in np.quantile(p, [0.0, 0.5, 1.0])]


def _rows_of(problem: Problem, log_ratio: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.column_stack([problem.R, problem.ranks, problem.Q, log_ratio]))


def plain(problem, sampler, n_draws, seed, upper, lower):
    """`draws` under the null law itself."""
    K, q = problem.R.shape[1], problem.Q.shape[1]
    rows = _rows_of(problem, np.zeros(problem.p.size))
    if sampler == "bernoulli":
        return bernoulli_draws(problem.p, rows, K, q, 0.0, n_draws, seed, upper, lower)
    none, no_cells = np.empty(0), np.empty(0, dtype=np.int64)
    return stratified_draws(
        problem.starts, problem.totals, rows, K, q, 0.0, none, no_cells,
        n_draws, seed, upper, lower,
    )  # fmt: skip


def explicit(problem: Problem, sampler: str, n_draws: int, seed: int) -> np.ndarray:
    """T (n_draws, 2 K) of single draws, in plain numpy."""
    rng = np.random.default_rng(seed)
    W = np.column_stack([problem.R, problem.ranks, problem.Q])
    K, n = problem.R.shape[1], problem.p.size
    out = np.zeros((n_draws, 2 * K))
    for b in range(n_draws):
        if sampler == "bernoulli":
            drawn = np.flatnonzero(rng.random(n) < problem.p)
        else:
            drawn = np.concatenate(
                [
                    problem.order[lo + rng.choice(hi - lo, m, replace=False)]
                    for lo, hi, m in zip(
                        problem.starts[:-1], problem.starts[1:], problem.totals, strict=True
                    )
                ]
            )
        total, count = W[drawn].sum(axis=0), drawn.size
        if count:
            out[b, :K] = total[:K] / (count - total[2 * K :] @ total[2 * K :])
            out[b, K:] = 2.0 * total[K : 2 * K] / (count * (n - count))
    return out


def importance(one: Problem, statistic: str, sampler: str, t: float, side: str, n_draws, seed):
    """(estimate, standard error) of the one-sided tail at t by draws tilted towards it."""
    line = linearise(one, statistic, sampler, np.array([t]))
    a = line.W[:, 0] - line.tau[0] * line.v
    upper = np.full((2, 1), np.inf)
    lower = np.full((2, 1), -np.inf)
    row = STATISTICS.index(statistic)
    (upper if side == "right" else lower)[row, 0] = t
    q = one.Q.shape[1]
    if sampler == "bernoulli":
        tilted = _tilt_bernoulli(one.p, a, line.threshold[0])
        ratio = np.log(one.p / tilted) - np.log((1 - one.p) / (1 - tilted))
        constant = float(np.log((1 - one.p) / (1 - tilted)).sum())
        down = np.argsort(-tilted, kind="stable")
        rows = _rows_of(one, ratio)[down]
        hits, squares = bernoulli_draws(
            np.ascontiguousarray(tilted[down]), rows, 1, q, constant, n_draws, seed, upper, lower
        )
    elif (one.totals**2 / np.diff(one.starts)).max() > 3.0:
        return 0.0, 0.0  # so many of a stratum that drawing until all differ takes too long
    else:
        l = _tilt_strata(one, a, line.threshold[0])
        odds = np.exp(l * a)
        constant = log_symmetric(one.starts, one.totals, odds)
        accept, alias = walker(one.starts, odds)
        hits, squares = stratified_draws(
            one.starts, one.totals, _rows_of(one, -l * a), 1, q, constant, accept, alias,
            n_draws, seed, upper, lower,
        )  # fmt: skip
    side_index = SIDES.index(side)
    mean = hits[side_index, row, 0] / n_draws
    second = squares[side_index, row, 0] / n_draws
    return float(mean), float(np.sqrt(max(second - mean * mean, 0.0) / n_draws))


def _tilt_bernoulli(p: np.ndarray, a: np.ndarray, s: float) -> np.ndarray:
    """Probabilities tilted so that the mean of sum x a comes near s; any tilt would be right."""
    unit = np.sqrt((p * (1 - p)) @ a**2)
    sign = np.sign(s - p @ a)

    def tilted(l):
        odds = p / (1 - p) * np.exp(np.clip(sign * l * a / unit, -600, 600))
        return odds / (1 + odds)

    low, high = 0.0, 40.0
    for _ in range(50):
        l = 0.5 * (low + high)
        low, high = (l, high) if sign * (tilted(l) @ a) < sign * s else (low, l)
    return np.clip(tilted(0.5 * (low + high)), 1e-12, 1 - 1e-9)


def _tilt_strata(one: Problem, a: np.ndarray, s: float) -> float:
    """Tilt at which the mean of sum x a comes near s, totals fixed on average."""
    parts = np.split(a, one.starts[1:-1])
    unit = np.sqrt(sum(m * part.var() for m, part in zip(one.totals, parts, strict=True)))
    centre = sum(m * part.mean() for m, part in zip(one.totals, parts, strict=True))
    sign = np.sign(s - centre)
    low, high = 0.0, 40.0
    for _ in range(50):
        l = 0.5 * (low + high)
        mean = 0.0
        for m, part in zip(one.totals, parts, strict=True):
            weight = np.exp(np.clip(sign * l * (part - part.mean()) / unit, -600, 600))
            mean += m * (weight @ part) / weight.sum()
        low, high = (l, high) if sign * mean < sign * s else (low, l)
    return sign * 0.5 * (low + high) / unit


def data_path() -> Path | None:
    """A published screen, where the tests look for it; None where it is not."""
    folder = Path(os.environ.get("PROGRAMDE_DATA", HERE.parents[2] / "shared" / "data"))
    path = folder / "papalexi_thp1.h5ad"
    return path if path.exists() else None


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.saddlepoint.accuracy", description=__doc__
    )
    parser.add_argument("--draws", type=int, default=10_000_000, help="plain draws (default 1e7)")
    parser.add_argument(
        "--importance", type=int, default=20_000, help="importance draws per point (0: none)"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="treated cells")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON that is kept")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/ as it is")
    chosen = parser.parse_args(given)
    if chosen.draws < 1:
        parser.error("--draws must be at least 1")
    return chosen


def _short(value: Any) -> Any:
    """Numbers to six digits, throughout."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [_short(part) for part in value]
    if isinstance(value, dict):
        return {key: _short(part) for key, part in value.items()}
    return value


def _write(kept: dict[str, Any], path: Path) -> None:
    """One row a line, through a temporary file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = []
    for name, cell in kept.items():
        rows = ",\n  ".join(json.dumps(_short(row)) for row in cell["rows"])
        rest = json.dumps({key: value for key, value in cell.items() if key != "rows"})
        cells.append(f' {json.dumps(name)}: {rest[:-1]}, "rows": [\n  {rows}\n ]}}')
    temporary = path.with_suffix(".tmp")
    temporary.write_text("{\n" + ",\n".join(cells) + "\n}\n", encoding="utf-8")
    os.replace(temporary, path)


def run_grid(chosen: argparse.Namespace) -> dict[str, Any]:
    """Every size, propensity and sampler that is not kept already."""
    kept: dict[str, Any] = {}
    if chosen.out.exists():
        kept = json.loads(chosen.out.read_text(encoding="utf-8"))
    path = data_path()
    real = real_outcome(path)
    if real is None:
        print("no published screen found: its outcome is left out", file=sys.stderr)
    grid = list(itertools.product(chosen.sizes, (False, True), SAMPLERS))
    key = {"draws": chosen.draws, "importance": chosen.importance, "real": real is not None}
    with Progress(len(grid) * chosen.draws, "draws", show=True) as bar:
        for n1, confounded, sampler in grid:
            name = f"n1={n1} {'confounded' if confounded else 'flat'} {sampler}"
            if name in kept and {k: kept[name].get(k) for k in key} == key:
                bar.advance(chosen.draws)
                continue
            problem = make_problem(n1, confounded, real)
            seed = 10 * n1 + 2 * confounded + SAMPLERS.index(sampler)
            begun = time.process_time()
            rows = run_cell(problem, sampler, chosen.draws, chosen.importance, seed, bar)
            for row in rows:
                row.update(n1=n1, propensity="confounded" if confounded else "flat")
            kept[name] = {**key, "seconds": round(time.process_time() - begun, 1), "rows": rows}
            _write(kept, chosen.out)
    return kept


def main(given: list[str] | None = None) -> int:
    """Run the grid, print its table, write table and picture."""
    from .accuracy_report import draw, table_lines, update

    chosen = arguments(given)
    with threadpool_limits(limits=1):
        kept = run_grid(chosen)
    rows = [row for cell in kept.values() for row in cell["rows"]]
    print("\n".join(table_lines(rows)))
    if not chosen.no_docs:
        docs = HERE.parents[1] / "docs"
        draw(rows, docs / "saddlepoint-accuracy.png")
        update(docs / "saddlepoint.md", "accuracy", table_lines(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
