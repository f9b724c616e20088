"""A methods paragraph, ready to be pasted, from the facts of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from programde.report.facts import Facts, installed_versions

#: Conditions that are named; of more, their number is told.
_MOST_NAMED = 12

STATISTICS = {
    "ols": "the coefficient of the treatment in a least-squares regression of the program's "
    "usage on treatment and covariates, with heteroscedasticity-robust standard errors",
    "utest": "the rank-sum (Mann-Whitney) statistic of the program's usage after regression on "
    "the covariates",
}
SAMPLERS = {
    "bernoulli_index": "each cell was assigned anew with its probability of treatment given the "
    "covariates, from a logistic regression",
    "stratified_perm": "assignments were permuted among cells of similar probability of "
    "treatment (and batch)",
}
CALIBRATIONS = {
    "saddlepoint": "P-values are exact tail probabilities of this null distribution by "
    "saddlepoint approximation and numerical inversion (Daniels 1987, Int. Stat. Rev. 55:37)",
    "skew_normal": "P-values are those of a skew-normal distribution fitted to the redrawn "
    "statistics, as in sceptre (Barry et al. 2021, Genome Biol. 22:344)",
    "ntc_empirical": "P-values compare each effect with those of control units made of "
    "non-targeting guides",
    "none": "P-values are counted: (1 + draws at least as extreme) / (1 + draws)",
}
FDR = {
    "bh": "Benjamini and Hochberg (1995, J. R. Stat. Soc. B 57:289)",
    "storey": "Storey (2002, J. R. Stat. Soc. B 64:479)",
}
SIDES = {
    "both": "two-sided",
    "left": "one-sided for programs that fall",
    "right": "one-sided for programs that rise",
}
COMPARED = {
    "complement": "all other cells",
    "nt_cells": "cells that hold non-targeting guides only",
    "unperturbed_cells": "cells without any guide",
}
TRANSFORMS = {
    "clr": "centred log-ratios",
    "sqrt": "square roots",
    "arcsine": "arcsines of square roots",
    "none": "scores as they are",
}


def methods_paragraph(facts: Facts) -> str:
    """What was done, in the words of a methods section."""
    known = facts.settings
    numbers = facts.inputs.numbers
    n_tests = int(facts.results["p_value"].notna().sum())
    n_hits = int((facts.results["q_value"] <= facts.level).sum())
    of = facts.tested
    parts = [
        f"Effects of {facts.results[of].nunique():,} perturbation {of}s on "
        f"{_count(numbers, 'programs')} gene programs were tested in {_count(numbers, 'cells')} "
        f"cells with programDE {installed_versions()['programde']}."
    ]
    if guides := numbers.get("guides"):
        parts[0] = parts[0][:-1] + f" ({guides:,.0f} guides)."
    transform = TRANSFORMS.get(str(_at(known, "usage.transform")))
    if transform is not None:
        floor = numbers.get("floor")
        raised = f", raised to a floor of {floor:.2g}" if floor else ""
        parts.append(f"Program usages (rows summing to 1{raised}) were analysed as {transform}.")
    parts.append(
        f"Cells that hold a guide of the {of} were compared with "
        f"{COMPARED[facts.comparison.kind]}; tests need at least {facts.few:,} treated cells."
    )
    if levels := [level for level, _ in facts.conditions()]:
        named = ", ".join(levels) if len(levels) <= _MOST_NAMED else f"{len(levels):,} of them"
        parts.append(f"This was done in the cells of each condition ({named}) apart.")
    statistic = STATISTICS.get(str(_at(known, "test.kind")))
    sampler = SAMPLERS.get(str(_at(known, "sampler.kind")))
    if statistic is not None:
        parts.append(f"The test statistic was {statistic}.")
    if sampler is not None:
        draws = _at(known, "n_resamples")
        parts.append(
            "Its null distribution is that of a conditional randomization test (Candes et al. "
            f"2018, J. R. Stat. Soc. B 80:551): {sampler}"
            + (f" ({draws:,} draws, seed {_at(known, 'seed')})." if draws is not None else ".")
        )
    if calibration := CALIBRATIONS.get(facts.controls.used):
        parts.append(f"{calibration}.")
    elif facts.controls.used == "raw":
        parts.append(f"{CALIBRATIONS['none']}.")
    side = SIDES.get(str(_at(known, "side")))
    adjust = FDR.get(str(_at(known, "fdr.adjust")))
    if adjust is not None:
        tests = f"{n_tests:,} {side} tests" if side else f"{n_tests:,} tests"
        parts.append(
            f"False discovery rates over {tests} follow {adjust}; {n_hits:,} tests have "
            f"q ≤ {facts.level:g}."
        )
    if (judged := facts.controls.metrics.get(facts.controls.used)) and judged["n_tests"]:
        size, n = facts.controls.group_size, f"{judged['n_independent']:,}"
        groups = (
            f"{n} groups of {size} non-targeting guides"
            if size > 1
            else f"{n} single non-targeting guides"
        )
        parts.append(
            f"Calibration was checked on {judged['n_tests']:,} tests of {groups}, of which "
            f"{100 * judged['rate_05']:.1f} % had p ≤ 0.05."
        )
    versions = installed_versions()
    used = ("python", "numpy", "scipy", "numba", "scikit-learn")
    parts.append(
        "Software: " + ", ".join(f"{name} {versions[name]}" for name in used)
        + f". Provenance: {provenance(facts)}."
    )  # fmt: skip
    return " ".join(parts)


def provenance(facts: Facts) -> str:
    """Twelve letters that change with the configuration, the input and the versions."""
    content = [facts.settings, facts.fingerprint, installed_versions()]
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def _at(settings: Mapping[str, Any], key: str) -> Any:
    """A setting by its dotted name; None where it is not there."""
    value: Any = settings
    for name in key.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _count(numbers: Mapping[str, float], key: str) -> str:
    return f"{numbers[key]:,.0f}"
