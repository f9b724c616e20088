"""Why to believe it: what control guides show, and how far the results agree with the truth."""

from __future__ import annotations

import pandas as pd

from programde.report.blocks import Block, Table
from programde.report.checked_tables import Metrics
from programde.report.facts import Facts
from programde.report.findings import FDR_LEVELS, calibrations_used
from programde.report.metrics import LEVELS
from programde.report.page import Section
from programde.report.pictures import Pictures
from programde.report.style import display_name
from programde.report.verdict import Verdict, verdict


def judgement(facts: Facts) -> Verdict:
    """The verdict on the p-values in use; "not judged" where no control tells of them."""
    controls = facts.controls
    kind = display_name(controls.used)
    if controls.used in controls.metrics:
        alone = controls.guides.get(controls.used)
        return verdict(controls.metrics[controls.used], alone, kind=kind)
    why = f" ({controls.why_no_crossfit})" if controls.why_no_crossfit else ""
    return Verdict("not judged", f"No control guide was held out{why}, and only held-out ones "
                   f"can judge {kind} p-values.")  # fmt: skip


def evidence(facts: Facts, pictures: Pictures) -> Section:
    """What the control groups show, in words, pictures and numbers."""
    blocks = [_behind_this(facts), *pictures.some("rates", "qq_conditions"), _calibration(facts)]
    if "calibration" in facts.results:
        blocks.append(_calibrations(facts.results))
    lead = "Guides that target nothing should look like chance; this shows whether they do."
    return Section("Why to believe it", blocks, lead, "evidence")


def _behind_this(facts: Facts) -> str:
    controls = facts.controls
    if controls.used not in controls.metrics:
        return (
            "Control guides were tested by the other ways alone; this one has no p-value of them."
        )
    numbers = controls.metrics[controls.used]
    n, size, partitions = (
        numbers["n_independent"],
        controls.group_size,
        int(numbers["n_partitions"]),
    )
    groups = f"{n:,} groups of {size} non-targeting guides"
    if size == 1:
        groups = f"{n:,} single non-targeting guides"
    if partitions > 1:
        groups += f", formed anew in each of {partitions} partitions of the guides"
    return f"Behind this: {groups}; {numbers['n_tests']:,} tests in all."


def _calibration(facts: Facts) -> Table:
    """Every kind of control p-value in numbers."""
    rows = []
    controls = facts.controls
    for kind, numbers in controls.metrics.items():
        name = display_name(kind)
        name = f"{name}\n(used)" if kind == controls.used else name
        alone = controls.guides.get(kind)
        rows.append({"p-values": name, "verdict": verdict(numbers, alone).word, **_row(numbers)})
        if alone is not None:
            rows.append({"p-values": "... of single guides", "verdict": "", **_row(alone)})
    note = (
        "Control units are groups of non-targeting guides, tested like targets. Rates should be "
        "about the level, and inflation about 1."
    )
    how = (
        "Rates: share of "
        "control tests at or below the level, with a 95 % interval that respects that programs "
        "of one unit are dependent. Inflation: that of chi-square over all p-values, with its 95 % "
        "interval, and lambda at the median and at the 1 % tail; 1 is calibrated, above 1 "
        "inflated. KS: largest distance from the uniform distribution. Hits: control "
        "tests that would be declared at a false discovery rate of 10 %."
    )
    formats = {"lambda": "fixed", "at 1 %": "fixed"}
    return Table(pd.DataFrame(rows), "Calibration in numbers", note, formats=formats, how=how)


def _row(numbers: Metrics) -> dict[str, object]:
    row: dict[str, object] = {f"p ≤ {p:g}": _rate(numbers, level) for level, p in LEVELS.items()}
    row["inflation"] = _inflation(numbers)
    row |= {"lambda": numbers["lambda"], "at 1 %": numbers["lambda_tail"]}
    row |= {"KS": numbers["ks"], "hits": numbers["discoveries_bh10"]}
    return row | {"units": numbers["n_units"], "tests": numbers["n_tests"]}


def _inflation(numbers: Metrics) -> str:
    if not numbers["n_tests"]:
        return "–"
    at, low, high = (
        f"{value:.2f}" if value < 10 else "> 10"
        for value in (numbers[f"lambda_mean{end}"] for end in ("", "_low", "_high"))
    )
    return f"{at}\n{low} to {high}"


def _rate(numbers: Metrics, level: str) -> str:
    if not numbers["n_tests"]:
        return "–"
    at, low, high = (100 * numbers[f"rate_{level}{end}"] for end in ("", "_low", "_high"))
    digits = 1 if level == "05" else 2
    return f"{at:.{digits}f} %\n{low:.{digits}f} to {high:.{digits}f}"


def _calibrations(results: pd.DataFrame) -> Table:
    """Which calibration the p-values come from, and by which way."""
    counts = calibrations_used(results)
    labels = {"branch": "way", "fallback": "to be known of it", "agree": "as a skew-normal"}
    note = "Where the one asked for is refused another p-value stands; it says so, and if rough."
    if "agree" in counts:
        note += (
            " As a skew-normal: the share within 10 % of the skew-normal law with the exact null "
            "moments, a cheap second opinion that sparse and heavy-tailed tests do not share."
        )
    if "branch" in counts:
        note += (
            " Ways: moments (Edgeworth, where p is large), saddlepoint (its second-order tail), "
            "inversion (of the null's transform, where that is not accurate enough), enumeration "
            "(of all draws, where there are few); chernoff and end are bounds."
        )
    if "fallback" in counts and not counts["fallback"].any():
        counts = counts.drop(columns="fallback")
    title = "Which calibration stands behind the p-values"
    formats = {"share": "percent", "agree": "percent"}
    return Table(counts, title, note, labels, formats, folded="How the p-values were made")


def truth(facts: Facts, pictures: Pictures) -> list[Section]:
    """Findings against the true effects, where these are known."""
    if facts.truth is None:
        return []
    numbers = facts.truth.metrics
    rows = [
        {
            "q at or below": f"{level:g}",
            "hits": numbers[f"discoveries_{name}"],
            "power": numbers[f"power_{name}"],
            "false among hits": numbers[f"fdr_{name}"],
            "wrong sign": numbers[f"sign_error_{name}"],
        }
        for name, level in FDR_LEVELS.items()
    ]
    note = (
        f"{numbers['n_true']:,} of the tests have a true effect, {numbers['n_null']:,} have "
        "none. Power: share of true effects found. Wrong sign: among the true effects found."
    )
    formats = dict.fromkeys(("power", "false among hits", "wrong sign"), "percent")
    table = Table(pd.DataFrame(rows), "Against the truth", note, formats=formats)
    lead = "The true effects of this screen are known, so findings can be checked."
    blocks: list[Block] = [*pictures.some("truth"), table]
    return [Section("Agreement with the truth", blocks, lead, "truth")]


def held_out(facts: Facts, pictures: Pictures) -> Section:
    """Control guides held out and tested against the others."""
    title, crossfit = "Control guides against each other", facts.controls.crossfit
    if crossfit is None:
        return Section(title, [f"Left out: {facts.controls.why_no_crossfit}."], anchor="heldout")
    info = crossfit["info"]
    p = crossfit["meta"]["pvals_holdout"].stack()
    lead = (
        f"Effects of held-out non-targeting guides against those of the others: "
        f"{(p <= LEVELS['05']).mean():.1%} of them have p ≤ 0.05 ({info['n_guides_A']} guides "
        f"make the null, {info['n_guides_B']} are held out)."
    ).replace("%", " %")
    note = (
        f"{info['note'][0].upper()}{info['note'][1:]}. These p-values come from non-targeting "
        "guides alone and trust no resampling model; few guides give few distinct values. They "
        "stand beside the p-values above and replace them under calibrate=ntc_empirical."
    )
    return Section(title, [note, *pictures.crossfit()], lead, "heldout")
