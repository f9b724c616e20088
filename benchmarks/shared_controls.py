"""``python -m benchmarks.shared_controls``: what a target costs against control cells.

Control cells are made ready once and each target adds its few cells (`crt.pooled`), against one
population per target, in one run; and groups of control guides, each absent from a batch, against
the remaining control cells, in the same two ways. Processor time of one thread per target, without
what is done once per screen, which is told beside: two runs with different numbers of targets give
both. Writes ``benchmarks/results/shared-controls.json`` and ``docs/shared-controls.png``; with
``--groups`` groups alone are measured, and put among the stored results.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.measure import exponent, machine, say
from programde.crt.control_group import choose_control
from programde.crt.engine import AnyTask, Deferred, RunOptions, run_tasks
from programde.crt.plan import plan
from programde.crt.samplers import SAMPLERS
from programde.crt.statistics import STATISTICS
from programde.screen.composition import clr, floor_and_close
from programde.screen.screen import Screen

HERE = Path(__file__).resolve().parent
#: Control cells, programs, cells of a target; 3 numeric covariates and 8 batches, 11 columns.
MIDDLE = {"controls": 60_000, "K": 100, "n1": 240}
SMALL = {"controls": 3000, "K": 20, "n1": 60}
GROWTH = {"controls": (15_000, 30_000, 60_000), "K": (25, 50, 100), "n1": (120, 240, 480)}
N_TARGETS = 20


@dataclass(frozen=True)
class Way:
    """A statistic, a sampler, draws, and exact tails."""

    label: str
    statistic: str
    sampler: str = "bernoulli_index"
    n_resamples: int = 0
    tails: bool = False
    given: str = "propensity"

    def options(self, n_jobs: int = 1) -> RunOptions:
        """Options of the engine."""
        return RunOptions(
            STATISTICS[self.statistic](),
            SAMPLERS[self.sampler](),
            n_resamples=self.n_resamples,
            n_jobs=n_jobs,
            progress=False,
            tails=self.tails,
            given=self.given,
        )


WAYS = [
    Way(f"{name}, {what}", statistic, **how)
    for name, statistic in (("OLS", "ols"), ("U-test", "utest"))
    for what, how in (
        ("effects", {}),
        ("1023 draws", {"n_resamples": 1023}),
        ("exact tails", {"tails": True}),
        ("tails given covariates", {"tails": True, "given": "covariates"}),
        ("stratified, 1023 draws", {"n_resamples": 1023, "sampler": "stratified_perm"}),
    )
]


def screen_of(controls: int, K: int, n1: int, slopes: int = 0, seed: int = 0) -> Screen:
    """One guide a cell: control cells, and `N_TARGETS` targets of n1 cells each."""
    rng = np.random.default_rng(seed)
    N = controls + n1 * N_TARGETS
    held = np.repeat(np.arange(N_TARGETS + 1), [n1] * N_TARGETS + [controls])
    held = rng.permutation(held)
    usage = rng.gamma(0.5, size=(N, K))
    usage[rng.random((N, K)) < 0.2] = 0.0
    usage[:, 0] += 1e-3
    usage = floor_and_close(usage / usage.sum(axis=1, keepdims=True), 1e-4)
    numeric, batch = rng.normal(size=(N, 3)), rng.integers(0, 8, N)
    dummies = (batch[:, None] == np.arange(1, 8)).astype(float)
    columns = [np.ones((N, 1)), numeric, dummies]
    if slopes:  # 35 columns: curves, and slopes by batch
        columns += [dummies * numeric[:, [j]] for j in range(3)] + [numeric**2 - 1.0]
    covariates = np.column_stack(columns)
    names = [f"g{j}" for j in range(N_TARGETS + 1)]
    owners = [f"T{j}" for j in range(N_TARGETS)] + ["NTC"]
    ones = np.ones(N, dtype=np.int8)
    guides = sparse.csc_matrix((ones, (np.arange(N), held)), shape=(N, len(names)))
    return Screen(
        usage=usage,
        clr=clr(usage),
        floor=1e-4,
        covariates=covariates,
        covariate_names=[f"c{j}" for j in range(covariates.shape[1])],
        covariate_table=None,
        batch=np.array([f"B{b}" for b in batch], dtype=object),
        guides=guides,
        guide_names=names,
        guide_to_target=dict(zip(names, owners, strict=True)),
        program_names=[f"p{k}" for k in range(K)],
        cell_names=[f"c{i}" for i in range(N)],
    )


def with_groups(screen: Screen, n1: int) -> Screen:
    """The screen with `N_TARGETS` more control guides, each in n1 control cells of all batches but
    one."""
    control = np.flatnonzero(np.asarray(choose_control(screen, "nt_cells", ["NTC"]).cells))
    rng, batch = np.random.default_rng(1), np.asarray(screen.batch)
    held = [
        np.sort(rng.choice(control[batch[control] != f"B{j % 8}"], n1, replace=False))
        for j in range(N_TARGETS)
    ]
    names, ends = [f"N{j}" for j in range(N_TARGETS)], np.arange(N_TARGETS + 1) * n1
    cells, ones = np.concatenate(held), np.ones(n1 * N_TARGETS, dtype=np.int8)
    more = sparse.csc_matrix((ones, cells, ends), shape=(screen.n_cells, N_TARGETS))
    return replace(
        screen,
        guides=sparse.hstack([screen.guides, more], format="csc"),
        guide_names=[*screen.guide_names, *names],
        guide_to_target={**screen.guide_to_target, **dict.fromkeys(names, "NTC")},
    )


def seconds(
    screen: Screen,
    way: Way,
    n: int,
    shared: bool = True,
    n_jobs: int = 1,
    groups: bool = False,
) -> float:
    """Processor seconds of a run over n targets, or groups of one control guide (real ones where
    there are several threads)."""
    control = choose_control(screen, "nt_cells", ["NTC"])
    units = [unit for unit in screen.target_units() if unit.name != "NTC"][:n]
    if groups:
        units = [screen.unit(f"N{j}", [f"N{j}"]) for j in range(n)]

    def tasks() -> Iterable[AnyTask]:
        for task in plan(screen, units, control, are_controls=groups, drop_empty_batches=groups):
            yield replace(task, pooled=None) if isinstance(task, Deferred) and not shared else task

    clock = time.process_time if n_jobs == 1 else time.perf_counter
    begin = clock()
    run_tasks(tasks(), [u.name for u in units], screen.program_names, way.options(n_jobs))
    return clock() - begin


def per_target(screen: Screen, way: Way, groups: bool = False) -> dict[str, float]:
    """Milliseconds per target or group, and seconds once per screen."""
    few, all_of = 4, N_TARGETS
    less, more = (seconds(screen, way, n, groups=groups) for n in (few, all_of))
    each = (more - less) / (all_of - few)
    return {"milliseconds": 1e3 * each, "once": max(less - few * each, 0.0)}


def measure_groups(quick: bool) -> dict[str, dict[str, float]]:
    """What a group of control guides costs, by way."""
    sizes = SMALL if quick else MIDDLE
    screen = with_groups(screen_of(**sizes), sizes["n1"])
    found = {}
    for way in WAYS:
        seconds(screen, way, 1, groups=True)
        here = per_target(screen, way, groups=True)
        plain = 1e3 * seconds(screen, way, 1, shared=False, groups=True)
        found[way.label] = {**here, "population_each": plain}
        say(f"groups, {way.label}: {here['milliseconds']:.1f} ms, {plain:.0f} each its own")
    return found


def measure(quick: bool) -> dict[str, Any]:
    """All numbers."""
    found: dict[str, Any] = {"middle": MIDDLE, "ways": {}, "growth": {}, "columns": {}}
    sizes = SMALL if quick else MIDDLE
    screen, rich = screen_of(**sizes), screen_of(**sizes, slopes=1)
    for way in WAYS:
        seconds(screen, way, 1)
        here = per_target(screen, way)
        plain = 1e3 * seconds(screen, way, 1, shared=False)
        found["ways"][way.label] = {**here, "population_each": plain}
        say(f"{way.label}: {here['milliseconds']:.1f} ms, {plain:.0f} with a population each")
    for way in (WAYS[0], WAYS[1], WAYS[3], WAYS[5]):
        found["columns"][way.label] = per_target(rich, way)
        say(f"35 columns, {way.label}: {found['columns'][way.label]['milliseconds']:.1f} ms")
    del rich
    for way in (WAYS[1], WAYS[3]):
        found["growth"][way.label] = {}
        for name, values in GROWTH.items():
            times = []
            for value in values if not quick else values[:0]:
                other = screen if value == MIDDLE[name] else screen_of(**{**MIDDLE, name: value})
                times.append(per_target(other, way)["milliseconds"])
            if times:
                grown = {"values": values, "milliseconds": times, **exponent(values, times)}
                found["growth"][way.label][name] = grown
                say(f"{way.label} in {name}: {np.round(times, 1)}")
    found["groups"] = measure_groups(quick)
    found["machine"] = machine()
    return found


def picture(found: dict[str, Any], path: Path) -> None:
    """Times per way, and growth."""
    from matplotlib.figure import Figure

    from programde.report import style

    figure = Figure(figsize=(12, 4), layout="constrained")
    left, *others = figure.subplots(1, 4, width_ratios=[2.4, 1, 1, 1])
    labels = list(found["ways"])
    at = np.arange(len(labels))[::-1]
    for name, colour, shift in (
        ("milliseconds", style.BLUE, 0.2),
        ("population_each", style.GREY, -0.2),
    ):
        values = [found["ways"][label][name] for label in labels]
        left.barh(at + shift, values, height=0.4, color=colour)
        for y, value in zip(at + shift, values, strict=True):
            left.text(value * 1.1, y, f"{value:.0f}", va="center", fontsize=8)
    left.set_xscale("log")
    left.set_xlim(1, 5000)
    left.set_yticks(at, labels)
    left.set_xlabel("ms per target: shared (blue), each its own (grey)")
    for axes, name in zip(others, GROWTH, strict=True):
        for (label, sizes), colour in zip(
            found["growth"].items(), (style.BLUE, style.ORANGE), strict=True
        ):
            if name in sizes:
                x, y = sizes[name]["values"], sizes[name]["milliseconds"]
                axes.plot(x, y, "o-", color=colour, label=label)
        axes.set_xscale("log")
        axes.set_xticks(GROWTH[name], [f"{value:,}" for value in GROWTH[name]])
        axes.minorticks_off()
        axes.set_ylim(0, None)
        axes.set_xlabel(name)
    others[0].set_ylabel("ms per target")
    figure.legend(*others[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_controls")
    parser.add_argument("--quick", action="store_true", help="a small screen, nothing written")
    parser.add_argument("--groups", action="store_true", help="groups of control guides alone")
    chosen = parser.parse_args()
    quick, out = chosen.quick, HERE / "results" / "shared-controls.json"
    if chosen.groups:
        found = {} if quick else json.loads(out.read_text(encoding="utf-8"))
        found |= {"groups": measure_groups(quick), "groups_machine": machine()}
    else:
        found = measure(quick)
    if quick:
        return
    out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    picture(found, HERE.parent / "docs" / "shared-controls.png")


if __name__ == "__main__":
    main()
