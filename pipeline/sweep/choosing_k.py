"""What a sweep over cNMF's K and density threshold says for their choice.

Of each K and threshold the best setting speaks. Programs are followed across them by their spectra
(`programde.report.program_families`), so that the hits of a program can be seen at each K.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.sweep.ranking_table import NAMES, ORDER, Ranking, name_of
from pipeline.sweep.record import word_of
from pipeline.sweep.tracking import Tracking
from programde.errors import InputError
from programde.report.blocks import Block, Table
from programde.report.page import Section
from programde.report.pictures import drawn_or_missing
from programde.report.program_families import ALIKE, followed, program_families
from programde.report.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, new_figure, styled
from programde.report.verdict import Verdict

K, THRESHOLD = NAMES["data.k"], NAMES["data.density_threshold"]
#: Columns of cNMF's table of its own choice, in its order; the names in the file are pickled.
CNMF = ("k", "local_density_threshold", "silhouette", "prediction_error")
#: What is drawn against K: column, what people read, and the right value where there is one.
PANELS = (
    ("inflation", "inflation λ of controls", 1.0),
    ("targets_with_hit", "targets with a hit", None),
    ("programs_with_hit", "programs with a regulator", None),
    ("share_with_hit", "... as a share of K", None),
    ("stability", f"found at other K (cosine ≥ {ALIKE:g})", None),
    ("silhouette", "cNMF: stability (silhouette)", None),
    ("prediction_error", "cNMF: prediction error", None),
)
#: An error has no natural size: only how it falls with K says something.
RELATIVE = ("prediction_error",)
#: In the place of a recommendation by power.
ACROSS_K = (
    "Recommended: no number of programs by its power, which falls as programs become more and "
    "narrower; what speaks for one stands under Which K?"
)
ACROSS_PROGRAMS = (
    "Recommended: no programs by their power, since other programs are others to find."
)
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)


@dataclass(frozen=True)
class Choice:
    """What there is to know for the choice of K.

    Attributes
    ----------
    table
        One row per K and threshold: the setting that speaks for it (`setting`, `run`), how many
        others tie with it there (`alike`), `inflation`,
        `low`, `high`, `targets_with_hit`, `programs_with_hit`, `share_with_hit`; `stability` where
        spectra are known; cNMF's `silhouette` and `prediction_error` where it wrote them.
    families
        One row per family of programs: `genes` or label, `found at` (how many K and thresholds),
        and for each of these the number of targets that hit it, NaN where it is not found. None
        where spectra are not known.
    members
        Which program of which K and threshold is of which family; None likewise.
    """

    table: pd.DataFrame
    families: pd.DataFrame | None = None
    members: pd.DataFrame | None = None


def across_programs(ranking: Ranking, counted: str) -> Verdict:
    """The word and sentence over settings that differ in their programs.

    Settings are ranked for each choice of programs by itself. The word is the best that the first
    of one of them has as the pick of all settings; the sentence names which have it.

    Parameters
    ----------
    counted
        What the sentence begins with.
    """
    firsts = ranking.table[~ranking.table.duplicated(ranking.questions)]
    words = [
        word_of({str(key): value for key, value in row.items()}, len(ranking.table)).word
        for _, row in firsts.iterrows()
    ]
    best = min(words, key=ORDER.index)
    settings = [axis for axis in ranking.axes if axis not in ranking.questions]
    if settings:
        at: dict[str, list[str]] = {}
        for _, row in firsts.iterrows():
            at.setdefault(name_of(row, settings), []).append(name_of(row, ranking.questions))
        told = "; ".join(
            f"{name} ({'everywhere' if len(at) == 1 else '; '.join(places)})"
            for name, places in at.items()
        )
        counted += f"First: {told}. "
    with_it = [
        name_of(row, ranking.questions)
        for (_, row), word in zip(firsts.iterrows(), words, strict=True)
        if word == best
    ]
    where = "" if len(with_it) == len(words) else f" at {'; '.join(with_it)}"
    by_k = {K, THRESHOLD} & set(ranking.questions)
    return Verdict(
        best,
        f"{counted}As the pick of {len(ranking.table)} by the same controls: {best}{where}. "
        f"{ACROSS_K if by_k else ACROSS_PROGRAMS}",
    )


def read_choice(tracking: Tracking, ranking: Ranking) -> Choice | None:
    """Read what a ranking and its record say for the choice of K; None where K does not differ."""
    axes = [axis for axis in (K, THRESHOLD) if axis in ranking.axes]
    if not axes:
        return None
    best = ranking.table.drop_duplicates(axes).copy()
    best["_k"], best["_t"] = (
        best["run"].map(lambda run, key=key: _number(ranking, run, key))
        for key in ("data.k", "data.density_threshold")
    )
    best = best.sort_values(["_k", "_t"], kind="stable")
    names = {
        run: label(k, t, axes) for run, k, t in best[["run", "_k", "_t"]].itertuples(index=False)
    }
    table = pd.DataFrame([_point(ranking, row) for _, row in best.iterrows()])
    table = table.merge(_cnmf_stats(ranking, best), how="left", on=["K", "threshold"])
    spectra = {name: tracking.spectra(ranking.records[run]) for run, name in names.items()}
    known = {name: one for name, one in spectra.items() if one is not None}
    if len(known) < 2:
        return Choice(table)
    try:
        members = program_families(known)
    except InputError:  # other genes: nothing to follow
        return Choice(table)
    table["stability"] = table["point"].map(followed(members))
    return Choice(table, families_of(members, ranking, names), members)


def label(k: float, threshold: float, axes: list[str]) -> str:
    """A K and threshold in a few words; what does not differ is left out."""
    words = [f"K = {k:g}"] if K in axes else []
    return ", ".join([*words, *([f"dt = {threshold:g}"] if THRESHOLD in axes else [])])


def families_of(members: pd.DataFrame, ranking: Ranking, names: Mapping[str, str]) -> pd.DataFrame:
    """Hits of each family at each K and threshold."""
    hits = {}
    what: dict[tuple[str, str], str] = {}
    for run, name in names.items():
        results = ranking.results.get(run)
        if results is None:
            continue
        found = results[results["q_value"] <= ranking.level]
        hits[name] = found.groupby(found["program"].astype(str))["target"].nunique()
        said = next((c for c in ("program_label", "program_top_genes") if c in results), None)
        if said is not None:
            firsts = results.drop_duplicates("program").set_index("program")[said].dropna()
            what |= {(name, str(program)): str(text) for program, text in firsts.items()}
    rows = []
    for _, family in members.groupby("family", sort=True):
        counts = dict.fromkeys(names.values(), np.nan)
        for point, program in family[["factorisation", "program"]].itertuples(index=False):
            if point in hits:
                counts[point] = int(hits[point].get(program, 0))
        last = family.iloc[-1]
        program = (last["factorisation"], last["program"])
        rows.append(
            {
                "family": int(last["family"]) + 1,
                "program": what.get(program, last["program"]),
                "found at": len(family),
                **counts,
            }
        )
    table = pd.DataFrame(rows)
    most = table[list(names.values())].max(axis=1).fillna(-1)
    order = pd.DataFrame({"found": -table["found at"], "hits": -most}).sort_values(
        ["found", "hits"], kind="stable"
    )
    return table.loc[order.index].reset_index(drop=True)


def section_of_choice(choice: Choice, folder: Path) -> Section:
    """The part of a sweep's page; its picture is also written into `folder`."""
    how = (
        "Of each K the best setting. Prefer a K whose controls are calibrated, that finds "
        "regulators for many programs, and whose programs are found at its neighbours too."
    )
    blocks: list[Block] = [
        drawn_or_missing(
            "Which K?", lambda: choice_figure(choice.table), folder / "choice_of_k", how
        )
    ]
    said = [name for name in ("setting", "alike") if name in choice.table]
    columns = ["point", *said, *(name for name, _, _ in PANELS if name in choice.table)]
    labels = {name: said for name, said, _ in PANELS} | {"point": "K", "alike": "others like it"}
    formats = {"share_with_hit": "percent", "stability": "percent", "inflation": "fixed"}
    formats["prediction_error"] = "count"
    blocks.append(Table(choice.table[columns], "K by K", "", labels, formats, limit=60))
    if choice.families is not None:
        note = (
            "A row is one program, followed across K by its spectrum; a number is how many targets "
            "hit it there, a dash says that it is not found. All of it: families.csv."
        )
        counts = {str(c): "count" for c in choice.families.columns[3:]}
        blocks.append(Table(choice.families, "Programs across K", note, {}, counts, limit=30))
    lead = (
        "A number of programs is no setting of the test: other programs are other questions. What "
        "speaks for one is said here side by side."
    )
    return Section("Which K?", blocks, lead, "choice-of-k")


@styled
def choice_figure(table: pd.DataFrame) -> Figure:
    """What is to be known of each K, a line per density threshold."""
    shown = [(c, said, right) for c, said, right in PANELS if c in table and table[c].notna().any()]
    columns = min(4, len(shown))
    lines = -(-len(shown) // columns)
    figure = new_figure(2.6 * columns + 0.4, 2.3 * lines + 0.5)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    thresholds = sorted(table["threshold"].unique())
    for ax, (column, said, right) in zip(axes, shown, strict=False):
        for number, threshold in enumerate(thresholds):
            part = table[table["threshold"] == threshold].sort_values("K")
            colour = COLOURS[number % len(COLOURS)]
            if column == "inflation" and part[["low", "high"]].notna().to_numpy().any():
                ax.fill_between(part["K"], part["low"], part["high"], color=colour, alpha=0.12)
            ax.plot(part["K"], part[column], color=colour, marker="o", markersize=4,
                    label=f"density threshold {threshold:g}")  # fmt: skip
        if right is not None:
            ax.axhline(right, color="#444444", linewidth=1.0, zorder=0)
        elif column not in RELATIVE:
            top = table[column].max()
            ax.set_ylim(min(0.0, ax.get_ylim()[0]), 1.06 * top if top > 0 else None)
        ax.set_title(said, fontsize=9)
        ax.set_xlabel("K")
        ax.set_xticks(sorted(table["K"].unique()))
    if len(thresholds) > 1:
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)))
    return figure


def _point(ranking: Ranking, row: pd.Series) -> dict[str, Any]:
    """One row of the table: a K and threshold."""
    k, threshold = int(row["_k"]), float(row["_t"])
    point: dict[str, Any] = {
        "point": label(k, threshold, [axis for axis in (K, THRESHOLD) if axis in ranking.axes]),
        "K": k,
        "threshold": threshold,
        **_first(ranking, row),
        "run": row["run"],
        "inflation": row.get("ntc/lambda_mean", np.nan),
        "low": row.get("ntc/lambda_mean_low", np.nan),
        "high": row.get("ntc/lambda_mean_high", np.nan),
    }
    results = ranking.results.get(row["run"])
    if results is not None:
        hits = results[results["q_value"] <= ranking.level]
        programs = hits["program"].nunique()
        point |= {
            "targets_with_hit": hits["target"].nunique(),
            "programs_with_hit": programs,
            "share_with_hit": programs / max(results["program"].nunique(), 1),
        }
    return point


def _first(ranking: Ranking, row: pd.Series) -> dict[str, Any]:
    """The setting that is first at a K and threshold, and how many more share its rank."""
    settings = [axis for axis in ranking.axes if axis not in ranking.questions]
    if not settings:
        return {}
    table = ranking.table
    same = (table[ranking.questions] == row[ranking.questions]).all(axis=1)
    tied = int((same & (table["rank"] == row["rank"])).sum()) - 1
    return {"setting": name_of(row, settings), "alike": tied}


def _number(ranking: Ranking, run: str, key: str) -> float:
    """A number among the settings of a run; 0 where it has none."""
    return float(ranking.records[run].data.params.get(key, 0.0))


def _cnmf_stats(ranking: Ranking, best: pd.DataFrame) -> pd.DataFrame:
    """cNMF's own stability and error by K, where it wrote them beside its usages."""
    tables = []
    folders = (_folder(ranking, run) for run in best["run"])
    for folder in sorted({folder for folder in folders if folder is not None}):
        for file in sorted(Path(folder).glob("*k_selection_stats*.npz")):
            try:
                with np.load(file, allow_pickle=False) as kept:
                    values = np.asarray(kept["data"], dtype=np.float64)
            except (OSError, ValueError, KeyError):  # not as cNMF writes it
                continue
            if values.ndim == 2 and values.shape[1] == len(CNMF):
                tables.append(pd.DataFrame(values, columns=list(CNMF)))
    if not tables:
        return pd.DataFrame(columns=["K", "threshold"], dtype=np.float64)
    stats = pd.concat(tables).groupby("k", as_index=False)[list(CNMF[2:])].first()
    # cNMF writes these once per K, at a threshold of its own: they are shown at each
    both = best[["_k", "_t"]].drop_duplicates().rename(columns={"_k": "K", "_t": "threshold"})
    return both.merge(stats.rename(columns={"k": "K"}), how="left", on="K")


def _folder(ranking: Ranking, run: str) -> str | None:
    """Where the files of cNMF lie that a run is of."""
    params = ranking.records[run].data.params
    if "inputs.folder" in params:
        return str(params["inputs.folder"])
    if "inputs.out_dir" in params:
        return str(Path(params["inputs.out_dir"], params.get("data.run_name", ""), "Inference"))
    return None
