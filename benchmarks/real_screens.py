"""``python -m benchmarks.real_screens FOLDER``: both published screens, before and after.

*Before*: covariates straight, laws given the propensity; *after*: curved covariates and laws given
them, the defaults. Between them a step at a time, so that each hit that is lost or won at
q <= 0.01 has a reason: the law, the covariates, or neither: its p-value hardly moved, and the
threshold of Benjamini-Hochberg did. Control cells by ``control="auto"``, exact tails; controls are
single non-targeting guides.

FOLDER holds the files of docs/real-screens.md. Writes ``benchmarks/results/real-screens.json`` and
the tables of that page.
"""

from __future__ import annotations

import json
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy.stats import chi2, rankdata

from benchmarks.measure import machine, say
from benchmarks.pages import table
from benchmarks.saddlepoint.accuracy_report import update
from programde.analysis.calibrate import calibrate
from programde.analysis.ntc_groups import run_ntc_groups
from programde.analysis.tables import results_table
from programde.analysis.targets import run_targets
from programde.crt.control_group import choose_control
from programde.crt.engine import RunOptions
from programde.crt.samplers import make_sampler
from programde.crt.statistics import make_statistic
from programde.errors import ProgramDEWarning
from programde.io.anndata import screen_from_anndata
from programde.screen.screen import Screen

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "real-screens.json"
PAGE = HERE.parent / "docs" / "real-screens.md"
SCREENS = {"Papalexi": "papalexi_thp1.h5ad", "Schraivogel": "schraivogel_tapseq.h5ad"}
NTC = "non-targeting"
#: From before to after: covariates, what laws are given, and what the step brings.
STEPS = (
    ("linear", "propensity", ""),
    ("linear", "covariates", "law"),
    ("auto", "covariates", "covariates"),
)
#: A hit at this q-value; a p-value that moved by less than this factor did not.
LEVEL, MOVED = 0.01, 1.15


def tests_of(screen: Screen, statistic: str, given: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Results of all targets, and p-values of single control guides."""
    options = RunOptions(
        make_statistic(statistic), make_sampler("bernoulli_index"), 0, progress=False, given=given
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProgramDEWarning)
        result = run_targets(screen, options, ntc_labels=[NTC])
        found = results_table(result, calibrate(result, "saddlepoint"))
        controls = run_ntc_groups(screen, options, ntc_labels=[NTC], group_size=1)
        p = np.asarray(calibrate(controls.result, "saddlepoint").p_value)
    return found.set_index(["target", "program"]), p[np.isfinite(p)]


def summary(found: pd.DataFrame, controls: np.ndarray) -> dict[str, Any]:
    """Hits, and what control guides say."""
    q = found["q_value"]
    return {
        "hits at .1": int((q <= 0.1).sum()),
        "hits at .01": int((q <= LEVEL).sum()),
        "targets": int((q <= 0.1).groupby("target").any().sum()),
        "controls": int(controls.size),
        "controls at .05": float((controls < 0.05).mean()),
        "controls at .01": float((controls < 0.01).mean()),
        "lambda": float(np.median(chi2.isf(controls, 1)) / chi2.isf(0.5, 1)),
    }


def reason(p: list[float], cut: list[float], won: bool) -> str:
    """Which step moved a test across the threshold: the one that moved its p-value most that way,
    or the threshold, where none moved it far."""
    steps = [np.log(after / before) for before, after in pairwise(p)]
    steps = [-step if won else step for step in steps]
    most = int(np.argmax(steps))
    if steps[most] < np.log(MOVED):
        return f"threshold: p ≤ {cut[0]:.2g} before, {cut[-1]:.2g} after"
    return STEPS[1 + most][2]


def moved(every: list[pd.DataFrame]) -> list[dict[str, Any]]:
    """Hits that are lost or won between the first and the last of the steps."""
    before, after = every[0]["q_value"] <= LEVEL, every[-1]["q_value"] <= LEVEL
    cut = [float(one.loc[one["q_value"] <= LEVEL, "p_value"].max()) for one in every]
    out = []
    for key in before.index[before != after.reindex(before.index)]:
        p = [float(one.loc[key, "p_value"]) for one in every]
        won = bool(after[key])
        out.append({
            "target": key[0], "program": key[1], "won": won, "p": p,
            "effect": [float(one.loc[key, "effect"]) for one in every],
            "q": [float(one.loc[key, "q_value"]) for one in every],
            "reason": reason(p, cut, won),
        })  # fmt: skip
    return out


def explained(screen: Screen, statistic: str) -> pd.Series:
    """Share of each program's variance in the control cells, of ranks with `utest`, that the
    covariates take up."""
    cells = choose_control(screen, "auto", [NTC]).cells
    y, C = (np.asarray(part[cells], dtype=np.float64) for part in (screen.clr, screen.covariates))
    y = rankdata(y, axis=0) if statistic == "utest" else y
    y = y - y.mean(axis=0)
    rest = y - C @ np.linalg.lstsq(C, y, rcond=None)[0]
    share = 1.0 - np.square(rest).sum(axis=0) / np.square(y).sum(axis=0)
    return pd.Series(share, index=screen.program_names)


def run(folder: Path) -> dict[str, Any]:
    """Both screens, both statistics, all steps."""
    results: dict[str, Any] = {"machine": machine(), "rows": [], "moved": []}
    for name, file in SCREENS.items():
        adata = anndata.read_h5ad(folder / file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ProgramDEWarning)
            screens = {
                formula: screen_from_anndata(adata, formula=formula)
                for formula in dict.fromkeys(step[0] for step in STEPS)
            }
        for statistic in ("ols", "utest"):
            every = []
            for formula, given, _ in STEPS:
                say(f"{name}, {statistic}, {formula}, given {given}")
                found, controls = tests_of(screens[formula], statistic, given)
                every.append(found)
                results["rows"].append(
                    {"screen": name, "statistic": statistic, "covariates": formula, "given": given}
                    | summary(found, controls)
                )
            shares = [explained(screens[formula], statistic) for formula in ("linear", "auto")]
            results["moved"] += [
                {"screen": name, "statistic": statistic}
                | one
                | {"explained": [float(share[one["program"]]) for share in shares]}
                for one in moved(every)
            ]
    return results


def row_lines(results: dict[str, Any]) -> list[str]:
    """Hits and control rates by step."""
    words = {"linear": "straight", "auto": "auto"}
    body = [
        [
            row["screen"], row["statistic"], words[row["covariates"]], row["given"],
            str(row["hits at .1"]), str(row["hits at .01"]), str(row["targets"]),
            f"{row['controls at .05']:.3f}", f"{row['controls at .01']:.3f}",
            f"{row['lambda']:.2f}",
        ]
        for row in results["rows"]
    ]  # fmt: skip
    head = ["screen", "statistic", "covariates", "given", "hits, q ≤ 0.1", "q ≤ 0.01", "targets",
            "controls p < .05", "p < .01", "lambda"]  # fmt: skip
    return table(head, body)


def moved_lines(results: dict[str, Any]) -> list[str]:
    """Each hit that was lost or won at q <= 0.01."""
    body = [
        [
            one["screen"], one["statistic"], f"{one['target']} {one['program']}",
            "won" if one["won"] else "lost",
            " → ".join(f"{p:.2g}" for p in one["p"]),
            f"{one['effect'][0]:.2f} → {one['effect'][-1]:.2f}",
            " → ".join(f"{share:.2f}" for share in one["explained"]), one["reason"],
        ]
        for one in sorted(
            results["moved"], key=lambda one: (one["screen"], one["statistic"], one["won"])
        )
    ]  # fmt: skip
    head = ["screen", "statistic", "test", "", "p: before, law, covariates", "effect",
            "taken up", "by"]  # fmt: skip
    return table(head, body)


def main() -> None:
    """Run, print, write."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        raise SystemExit("python -m benchmarks.real_screens FOLDER: the folder of both screens")
    results = run(Path(sys.argv[1]))
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print("\n".join([*row_lines(results), "", *moved_lines(results)]))
    update(PAGE, "before and after", row_lines(results))
    update(PAGE, "moved", moved_lines(results))


if __name__ == "__main__":
    main()
