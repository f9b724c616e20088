"""Wires: which change of which key makes which outputs others, and the runs that are changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.stats import false_discovery_control

from pipeline.config.schema import KINDS
from programde.analysis.ntc_groups import ntc_units
from tests.sharing import made_once, shared_folder

from .wiring import Run, first_run, run_again

Check = Callable[[Run, Run], None]
Runs = Callable[[str], tuple[Run, tuple[str, ...]]]

LABELS = ["non-targeting"]
SEED = 5
WORDS = (
    "data=h5ad",
    "data.condition_key=day",
    "covariates.formula=linear",
    "compute=serial",
    f"seed={SEED}",
    "n_resamples=39",
    "analysis.control=complement",
    "controls.n_partitions=2",
    "controls.group_size=2",
    "controls.units.n_ntc_units=60",
    "crossfit.n_ntc_units=40",
    "crossfit.n_holdout_units=8",
    "crossfit.min_guides=8",
    "report.n_boot=40",
    "spikes.n_sets=0",
)
TESTED = ("prepare", "crt", "ntc_null", "calibrate")
#: Name of a base -> its own words, and the base that it is made of.
BASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "nt_cells": ("whole", ("analysis.control=nt_cells",)),
    "by_condition": ("whole", ("analysis.by_condition=true",)),
    "strata": ("whole", ("sampler=stratified", "sampler.n_bins=3", "test=utest")),
    "burden": ("whole", ("sampler=stratified_burden", "sampler.n_bins=2")),
    "by_depth": ("whole", ("sampler=stratified", "sampler.n_bins=2", "sampler.burden_key=depth",
                           "sampler.n_burden_bins=3")),
    "skewed": ("whole", ("calibrate=skew_normal",)),
    "empirical": ("whole", ("calibrate=ntc_empirical", "calibrate.matching.min_ntc_per_bin=5")),
    "with_pbar": ("empirical", ("controls.units.use_pbar=true",)),
    "spiked": (
        "whole",
        ("spikes.n_sets=3", "spikes.n_unspiked_sets=4", "spikes.fold_changes=[1.5,3.0]"),
    ),
    "nine_programs": ("whole", ("data.path={f}/nine.h5ad",)),
    "free_groups": ("whole", ("controls.group_size=null",)),
}  # fmt: skip

TABLES = {"reports/results.csv", "reports/results.parquet"}
P_VALUES = TABLES | {"reports/omnibus.csv"}
NTC_P_VALUES = {"data/ntc_p_values.parquet", "data/ntc_guide_p_values.parquet"}
GROUPS = {"data/ntc_null", "data/ntc_p_values.parquet"}
CONTROLS = {"data/ntc_null", *NTC_P_VALUES}
CRT = {"data/crt", "reports/units.csv", *P_VALUES}
CROSSFIT = {"data/ntc_null", "data/crossfit"}
REPORT = {"reports/index.html", "reports/metrics.json", "reports/plots", "reports/figures"}


@dataclass(frozen=True)
class Wire:
    """A key of conf/, a value that is not the base's, and what is to come of it.

    Attributes
    ----------
    key
        As `keys_of_conf` names it.
    words
        The change, in the words of the command line.
    changes
        The outputs that are not byte for byte what they were; all others are.
    check
        Given the runs before and after; asserts what the key says.
    base
        Name of the run that is changed.
    report
        Whether the report is made too, which takes a second.
    always
        Run every stage, declared or not.
    """

    key: str
    words: tuple[str, ...]
    changes: frozenset[str]
    check: Check
    base: str
    report: bool = False
    always: bool = False


def wire_into(wires: list[Wire]) -> Callable[..., Callable[[Check], Check]]:
    """A decorator that enters a check into a list."""

    def wire(
        key: str, *words: str, changes: set[str], base: str = "whole", **how: bool
    ) -> Callable[[Check], Check]:
        def enter(check: Check) -> Check:
            wires.append(Wire(key, words, frozenset(changes), check, base, **how))
            return check

        return enter

    return wire


def name_of(wire: Wire) -> str:
    """The id of its test."""
    return f"{wire.base}: {' '.join(wire.words)}"


def judge(wire: Wire, runs: Runs, folder: Path) -> None:
    """Change the key, run the stages; compare what changed, and what with what the key says."""
    before, words = runs(wire.base)
    files = before.folder.parent
    changed_words = tuple(word.replace("{f}", str(files)) for word in wire.words)
    names = {word.split("=")[0] for word in wire.words}
    picks = names & {*KINDS, "compute"} or changed_words != wire.words
    after, changed = run_again(
        before.folder,
        folder,
        changed_words,
        compose_all=words if picks else (),
        report=wire.report,
        always=wire.always,
    )
    assert changed == wire.changes, sorted(changed ^ wire.changes)
    wire.check(before, after)


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A base by name, made when it is first asked for: its run, and the words of it."""
    folder = shared_folder(tmp_path_factory, "wiring")
    made: dict[str, tuple[Run, tuple[str, ...]]] = {}

    def files() -> None:
        wired_screen().write_h5ad(folder / "screen.h5ad")
        wired_screen(9).write_h5ad(folder / "nine.h5ad")
        table = {"target": ["T1", "T0"], "program": ["program_2", "program_0"]}
        pd.DataFrame(table).to_csv(folder / "pairs.csv", index=False)
        sets = (
            ["first", "", "T0", "T1", "T2", "T3", "T4"],
            ["others", "", *(f"G{g}" for g in range(7))],
        )
        text = "".join("\t".join(line) + "\n" for line in sets)
        (folder / "sets.gmt").write_text(text)

    def base(name: str) -> tuple[Run, tuple[str, ...]]:
        if name in made:
            return made[name]
        place = folder / name
        if name in ("whole", "reported"):
            made_once(folder / "files", files)
            words: tuple[str, ...] = (*WORDS, f"data.path={folder / 'screen.h5ad'}")
            stages = TESTED if name == "whole" else (*TESTED, "diagnostics")
            made_once(place, lambda: first_run(place, words, stages))
        else:
            parent, more = BASES[name]
            (run, words) = base(parent)
            more = tuple(word.replace("{f}", str(folder)) for word in more)
            made_once(place, lambda: run_again(run.folder, place, more, compose_all=words))
            words = (*words, *more)
        made[name] = Run(place), words
        return made[name]

    return base


def wired_screen(k: int = 4) -> AnnData:
    """What every key can act on: 500 cells, k programs, two batches, two days.

    Five targets of two guides and ten control guides. One cell in eight holds a second guide, one
    in ten none. T0 acts through one of its guides; no cell of T1 is in batch b; T4 has nine cells
    beside those of control guides.
    """
    rng = np.random.default_rng(12)
    n = 500
    guides = [f"T{j // 2}g{j % 2}" for j in range(10)] + [f"C{j}" for j in range(10)]
    held = rng.permutation(np.resize(np.arange(20), n))
    batch = rng.permutation(np.resize(["a", "b"], n))
    batch[np.isin(held, (2, 3))] = "a"
    few = np.flatnonzero(np.isin(held, (8, 9)))[9:]
    held[few] = 10 + np.arange(few.size) % 10
    calls = held[:, None] == np.arange(20)
    second = rng.random(n) < 0.125
    calls[second, rng.integers(0, 8, second.sum())] = True
    calls[rng.random(n) < 0.1] = False
    calls[batch == "b", 2:4] = False
    umi = np.where(calls, rng.integers(1, 12, calls.shape), 0)
    usage = rng.dirichlet(np.full(k, 2.0), n)
    usage[calls[:, 0], 0] *= 6
    usage[rng.random(usage.shape) < 0.03] = 0.0
    usage /= usage.sum(axis=1, keepdims=True)
    names = [f"c{i}" for i in range(n)]
    score = rng.integers(0, 6, n)
    leading = np.random.default_rng(3).gamma(2.0, 1.0, (205, k))
    leading[:5] *= 9  # the targets' own genes are among the first of all programs
    return AnnData(
        np.zeros((n, 205)),
        var=pd.DataFrame(index=[*(f"T{t}" for t in range(5)), *(f"G{g}" for g in range(200))]),
        varm={"cnmf_spectra": leading},
        obs=pd.DataFrame(
            {
                "day": rng.permutation(np.resize(["one", "two"], n)),
                "counts": rng.integers(1, 900, n).astype(float),
                "lane": rng.permutation(np.resize(["x", "y"], n)),
            },
            names,
        ),
        obsm={
            "cnmf_usage": usage,
            "covar": pd.DataFrame(
                {"depth": rng.normal(3, 2, n), "score": score, "batch": batch}, names
            ),
            "guide_assignment": umi.astype(np.float32),
        },
        uns={
            "guide_names": np.array(guides, dtype=object),
            "guide2gene": {g: "non-targeting" if g[0] == "C" else g[:2] for g in guides},
        },
    )


def treated(run: Run, target: str) -> np.ndarray:
    """Cells (N,) that hold a guide of the target, from the file that came in."""
    guides = np.array(run.screen.guide_names)
    ours = [run.screen.guide_to_target.get(g) == target for g in guides]
    return np.asarray(run.screen.guides[:, ours].sum(axis=1)).ravel() > 0


def n_treated(run: Run) -> pd.Series:
    return run.results.groupby("target")["n_treated"].first()


def n_control(run: Run) -> pd.Series:
    return run.results.groupby("target")["n_control"].first()


def only_controls(run: Run) -> np.ndarray:
    """Cells (N,) that hold control guides and no others."""
    others = np.zeros(run.screen.n_cells, dtype=bool)
    for t in range(5):
        others |= treated(run, f"T{t}")
    return treated(run, "non-targeting") & ~others


def bh(p: pd.Series) -> np.ndarray:
    """Benjamini-Hochberg by scipy; NaN stays and does not count."""
    found = np.full(len(p), np.nan)
    known = p.notna().to_numpy()
    found[known] = false_discovery_control(p[known])
    return found


def close(found: Any, expected: Any, rtol: float = 1e-10) -> None:
    np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), rtol=rtol)


def groups_of(run: Run, **instead: Any) -> list[dict[str, str]]:
    """The partitions that the library makes of the stored screen."""
    controls = {k: v for k, v in run.params["controls"].items() if k != "units"}
    return ntc_units(run.screen, LABELS, **{**controls, "seed": SEED, **instead})[1]
