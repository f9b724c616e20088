"""The report of a run: one self-contained page that a biologist reads from top to bottom.

The order is that of the questions: Is this run calibrated? What was found? Where is the evidence?
(Does it agree with the known truth?) What came in? What could not be tested? How was it made, and
where are the files? Everything arrives as plain tables, texts and pictures; what follows from the
tables (top hits, counts, the metrics of every kind of p-value, untested tests by reason) is made
here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from programde.report.blocks import Block, Picture, Settings, Table
from programde.report.checked_tables import Metrics, counted, need_columns, tested_column
from programde.report.findings import discovery_counts
from programde.report.page import Section, render_page
from programde.report.style import display_name, write_atomically
from programde.report.verdict import Verdict, verdict

from ..errors import InputError, nearest

_LABELS = {
    "effect_se": "± SE",
    "p_value": "p",
    "p_raw": "p, raw",
    "q_value": "q",
    "q_value_within": "q, within",
    "n_treated": "treated cells",
    "n_control": "control cells",
    "p_max": "p, largest shift",
    "q_max": "q, largest shift",
    "p_acat": "p, combined",
    "q_max_within": "q, largest shift, within",
    "q_acat": "q, combined",
    "q_acat_within": "q, combined, within",
    "fallback": "another p-value, because",
    "top_program": "strongest in",
    "top_effect": "effect there",
}

__all__ = ["Picture", "Report", "Section", "Settings", "Table", "write_report"]


@dataclass(frozen=True)
class Report:
    """What the page is made of; all but the first four may stay empty.

    Attributes
    ----------
    title
        Headline, say "Papalexi THP-1 screen".
    results : DataFrame
        The tidy results table, one row per target x program: at least `target, program, effect,
        p_value, q_value`; `guide` where guides were tested one by one;
        `effect_se, n_treated, calibration, fallback, reason, condition` are
        used where present.
    metrics
        Kind of p-value -> what `calibration_metrics` returned for the control units.
    kind
        The kind that `results.p_value` is of; its metrics make the verdict.
    judgement
        The verdict, where the caller has made it with other limits, or where no control tells of
        the p-values in use: `metrics` may then lack `kind`.
    picture
        The picture beside the verdict: the QQ plot of the control units.
    subtitle
        One line under the title.
    warnings
        What makes the whole run doubtful, one sentence each; shown first.
    facts
        Headline numbers beside those of the results, name -> text or number (cells, programs).
    omnibus : DataFrame, optional
        One row per target with `target` and p-values, smallest first where the caller wants so.
    evidence, findings, truth, inputs
        Blocks (sentences, lists, `Picture`, `Table`, `Settings`) of the sections: why to believe
        it, what was found, agreement with the truth, what came in.
    truth_metrics
        What `truth_metrics` returned, where the truth is known.
    notes
        What was changed on the user's behalf, one sentence each.
    more
        Further sections (conditions, guide concordance), after the findings.
    settings, versions, fingerprint
        Configuration (nested), package versions, and what identifies the input.
    files
        Path -> what is in it; paths are shown as seen from the page's folder.
    level
        The q-value at which something counts as found.
    """

    title: str
    results: pd.DataFrame
    metrics: Mapping[str, Metrics]
    kind: str
    judgement: Verdict | None = None
    picture: Picture | None = None
    subtitle: str = ""
    warnings: Sequence[str] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    omnibus: pd.DataFrame | None = None
    evidence: Sequence[Block] = ()
    findings: Sequence[Block] = ()
    truth: Sequence[Block] = ()
    truth_metrics: Metrics | None = None
    inputs: Sequence[Block] = ()
    notes: Sequence[str] = ()
    more: Sequence[Section] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, object] = field(default_factory=dict)
    fingerprint: Mapping[str, object] | str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    level: float = 0.1


def write_report(path: str | os.PathLike[str], report: Report) -> Path:
    """Write the page, to a temporary file first, then moved.

    Equal reports give equal bytes: the page holds no date unless `report` brings one.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        `results` lacks a column, `kind` has neither metrics nor a `judgement`, or a picture is no
        PNG.
    """
    need_columns(
        report.results, ("target", "program", "effect", "p_value", "q_value"), "results table"
    )
    if report.kind not in report.metrics and report.judgement is None:
        raise InputError(
            f"no metrics of kind {report.kind!r}{nearest(report.kind, report.metrics)}"
        )
    judged = report.judgement or verdict(
        report.metrics[report.kind], kind=display_name(report.kind)
    )
    sections = [
        _found(report),
        _evidence(report),
        *([_truth(report)] if report.truth or report.truth_metrics else []),
        *report.more,
        _came_in(report),
        _untested(report),
        _made(report),
        *([_files(report, Path(path).parent)] if report.files else []),
    ]
    page = render_page(
        report.title,
        report.subtitle,
        judged,
        _facts(report),
        sections,
        picture=report.picture,
        warnings=report.warnings,
        footer="Made by programDE. This page holds everything it shows and needs no network.",
    )
    return write_atomically(path, page.encode("utf-8"))


def _facts(report: Report) -> dict[str, str]:
    counts = discovery_counts(report.results)
    given = {k: f"{v:,}" if isinstance(v, int) else str(v) for k, v in report.facts.items()}
    hits = report.results["q_value"] <= report.level
    of = tested_column(report.results)
    return {
        **given,
        "tests": f"{counts['n_tests']:,}",
        f"hits at q ≤ {report.level:g}": f"{int(hits.sum()):,}",
        f"{of}s with hits": f"{report.results.loc[hits, of].nunique():,}",
    }


def _found(report: Report) -> Section:
    results, level = report.results, report.level
    of = tested_column(results)
    hits = results[results["q_value"] <= level].sort_values(
        ["q_value", "p_value"], kind="stable", ignore_index=True
    )
    n_tests = int(results["p_value"].notna().sum())
    if len(hits):
        lead = (
            f"{len(hits):,} of {counted(n_tests, 'test')} {'has' if len(hits) == 1 else 'have'} "
            f"q ≤ {level:g}: {counted(hits[of].nunique(), of)} and "
            f"{counted(hits['program'].nunique(), 'program')} are involved. At most "
            f"{100 * level:g} % of such hits are expected to be false."
        )
        tables: list[Block] = [_hit_table(hits, "Hits, strongest first")]
    else:
        lead = f"None of {counted(n_tests, 'test')} has q ≤ {level:g}."
        best = results[results["p_value"].notna()].sort_values("p_value", kind="stable").head(10)
        tables = [_hit_table(best, "No hit; the ten tests with the smallest p")]
    whole = [_omnibus_table(report.omnibus)] if report.omnibus is not None else []
    return Section("What was found", [*tables, *report.findings, *whole], lead, "found")


def _hit_table(rows: pd.DataFrame, title: str) -> Table:
    columns = ["condition", "guide", "target", "program", "effect", "effect_se", "p_value"]
    columns += ["q_value", "q_value_within", "n_treated", "calibration", "fallback"]
    shown = rows[[c for c in columns if c in rows.columns]]
    for column in ("calibration", "fallback"):  # worth a column only where it tells rows apart
        if column in shown and shown[column].nunique(dropna=False) <= 1:
            shown = shown.drop(columns=column)
    shown = shown.drop(columns=[c for c in ("effect_se",) if c in shown and shown[c].isna().all()])
    note = (
        "Effect: shift of the program in treated cells, on the scale of the test; positive means "
        "the program rises when the target is perturbed. q: the share of false hits to expect "
        "among all tests with a q this small or smaller."
    )
    return Table(shown, title, note, _LABELS, {"effect": "signed"}, limit=12)


def _omnibus_table(omnibus: pd.DataFrame) -> Table:
    need_columns(omnibus, ("target",), "omnibus table")
    of = tested_column(omnibus)
    note = (
        f"Does the {of} shift any program at all? Largest shift: the largest standardised "
        "statistic over programs, up or down whatever side was asked for, against its own null "
        "draws. Combined: the p-values above, of the side asked for, by the Cauchy combination."
    )
    shown = omnibus.dropna(axis=1, how="all")
    title = f"{of.capitalize()}s as a whole"
    return Table(shown, title, note, _LABELS, {"top_effect": "signed"}, limit=10)


def _evidence(report: Report) -> Section:
    rows = []
    for kind, numbers in report.metrics.items():
        row: dict[str, object] = {"p-values": display_name(kind)}
        if kind == report.kind:
            row["p-values"] = f"{display_name(kind)}\n(used)"
        row["verdict"] = verdict(numbers).word
        for name, level in (("05", "0.05"), ("01", "0.01"), ("001", "0.001")):
            row[f"p ≤ {level}"] = _rate(numbers, name)
        row |= {"lambda": numbers["lambda"], "at 1 %": numbers["lambda_tail"]}
        row |= {"KS": numbers["ks"], "hits": numbers["discoveries_bh10"]}
        row |= {"units": numbers["n_units"], "tests": numbers["n_tests"]}
        rows.append(row)
    note = (
        "Control units are groups of non-targeting guides, tested like targets. Rates: share of "
        "control tests at or below the level, with a 95 % interval that respects that programs "
        "of one unit are dependent. Lambda (at the median, and at the 1 % tail): 1 is calibrated, "
        "above 1 inflated. KS: largest distance from the uniform distribution. Hits: control "
        "tests that would be declared at a false discovery rate of 10 %."
    )
    formats = {"lambda": "fixed", "at 1 %": "fixed"}
    table = Table(pd.DataFrame(rows), "Calibration in numbers", note, formats=formats)
    lead = "Guides that target nothing should look like chance; this shows whether they do."
    blocks = [*report.evidence, table, *_branches(report.results)]
    return Section("Why to believe it", blocks, lead, "evidence")


def _branches(results: pd.DataFrame) -> list[Block]:
    """How many tests rest on which calibration, and why where it is not the one asked for."""
    columns = [c for c in ("calibration", "branch", "fallback") if c in results.columns]
    if "calibration" not in columns:
        return []
    tested = results.loc[results["p_value"].notna(), columns].fillna("")
    counts = tested.value_counts().rename("tests").reset_index()
    counts["share"] = counts["tests"] / max(1, len(tested))
    labels = {"branch": "way", "fallback": "why not the one asked for", "agree": "as a skew-normal"}
    note = "Where the calibration asked for is refused another p-value stands, and says so."
    if "p_moments" in results.columns:
        near = (results["p_moments"] / results["p_value"]).between(1 / 1.1, 1.1)
        shares = tested.assign(agree=near).groupby(columns, as_index=False)["agree"].mean()
        counts = counts.merge(shares, on=columns)
        note += (
            " As a skew-normal: the share within 10 % of the skew-normal law with the exact null "
            "moments, a cheap second opinion that sparse and heavy-tailed tests do not share."
        )
    if "branch" in columns:
        note += (
            " Ways: moments (Edgeworth, where p is large), saddlepoint (its second-order tail), "
            "inversion (of the null's transform, where that is not accurate enough), enumeration "
            "(of all draws, where there are few); chernoff and end are bounds."
        )
    if not counts["fallback"].any():
        counts = counts.drop(columns="fallback")
    title = "Which calibration stands behind the p-values"
    return [Table(counts, title, note, labels, {"share": "percent", "agree": "percent"})]


def _rate(numbers: Metrics, name: str) -> str:
    if not numbers["n_tests"]:
        return "–"
    at, low, high = (100 * numbers[f"rate_{name}{end}"] for end in ("", "_low", "_high"))
    digits = 1 if name == "05" else 2
    return f"{at:.{digits}f} %\n{low:.{digits}f} to {high:.{digits}f}"


def _truth(report: Report) -> Section:
    blocks: list[Block] = [*report.truth]
    if report.truth_metrics is not None:
        numbers = report.truth_metrics
        rows = [
            {
                "q at or below": f"{level:g}",
                "hits": numbers[f"discoveries_{name}"],
                "power": numbers[f"power_{name}"],
                "false among hits": numbers[f"fdr_{name}"],
                "wrong sign": numbers[f"sign_error_{name}"],
            }
            for name, level in (("bh10", 0.1), ("bh05", 0.05))
        ]
        note = (
            f"{numbers['n_true']:,} of the tests have a true effect, {numbers['n_null']:,} have "
            "none. Power: share of true effects found. Wrong sign: among the true effects found."
        )
        formats = dict.fromkeys(("power", "false among hits", "wrong sign"), "percent")
        blocks.append(Table(pd.DataFrame(rows), "Against the truth", note, formats=formats))
    lead = "The true effects of this screen are known, so findings can be checked."
    return Section("Agreement with the truth", blocks, lead, "truth")


def _came_in(report: Report) -> Section:
    blocks: list[Block] = [*report.inputs]
    if report.notes:
        blocks += ["Changed on the way in, on your behalf:", list(report.notes)]
    else:
        blocks.append("Nothing was changed on the way in.")
    return Section("What came in", blocks, anchor="inputs")


#: How many cells a unit has tells units apart, not reasons.
_TOO_FEW = r"^[\d,]+ (.+ cells?), fewer than ([\d,]+)$"


def _untested(report: Report) -> Section:
    results = report.results
    missing = results[results["p_value"].isna()]
    blocks: list[Block] = []
    if len(missing):
        reason = missing["reason"] if "reason" in missing else pd.Series("", missing.index)
        reason = reason.fillna("").replace("", "no reason recorded")
        reason = reason.str.replace(_TOO_FEW, r"fewer than \2 \1", regex=True)
        of = tested_column(missing)
        names = missing[of].astype(str)
        if "condition" in missing:
            names = names + " in " + missing["condition"].astype(str)
        rows = [
            {
                "why": why,
                "tests": len(part),
                f"{of}s": part[of].nunique(),
                "which": _first_names(names[part.index]),
            }
            for why, part in missing.groupby(reason, sort=False)
        ]
        lead = f"{len(missing):,} of {counted(len(results), 'test')} could not be done: no p-value."
        blocks.append(Table(pd.DataFrame(rows).sort_values("tests", ascending=False)))
    else:
        lead = f"All {len(results):,} tests were done."
    return Section("What could not be tested", blocks, lead, "untested")


def _first_names(tested: pd.Series, n: int = 8) -> str:
    names = [str(name) for name in tested.unique()]
    return ", ".join(names[:n]) + (f", … ({len(names):,} in all)" if len(names) > n else "")


def _made(report: Report) -> Section:
    blocks: list[Block] = []
    print_ = report.fingerprint
    if print_:
        values = print_ if isinstance(print_, Mapping) else {"input": print_}
        blocks.append(Settings("Input fingerprint", values, unfolded=True))
    if report.settings:
        blocks.append(Settings("Configuration", report.settings))
    if report.versions:
        blocks.append(Settings("Versions", report.versions))
    lead = "The same configuration, versions and input give the same numbers."
    return Section("How this was made", blocks, lead, "made")


def _files(report: Report, folder: Path) -> Section:
    rows = [{"file": _relative(path, folder), "holds": what} for path, what in report.files.items()]
    return Section("Files", [Table(pd.DataFrame(rows), limit=200)], anchor="files")


def _relative(path: str, folder: Path) -> str:
    """The path as seen from the page's folder, where it lies below it."""
    full, base = Path(path).resolve(), folder.resolve()
    return str(full.relative_to(base)) if full.is_relative_to(base) else str(path)
