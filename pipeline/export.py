"""Write the results of runs where other programs look for them.

    python -m pipeline.export perturbnmf [FOLDER ...]
    python -m pipeline.export spreadsheet [FOLDER ...]

The second writes ``reports/results_spreadsheet.csv`` beside ``results.csv``: the same, but no name
in it can be taken for a formula.

FOLDER is where a run was computed: by default this project, for a sweep ``sweeps/points/*``. Of
each, ``params.yaml`` says what was asked for. It is a command and not a stage: a stage restored
from the cache is not executed, and would write nothing outside the project.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config.params import PARAMS, read_params
from pipeline.files import read_table, replacing, write_table
from pipeline.stages import paths
from programde.analysis.perturbnmf import (
    EFFECTS,
    Point,
    effect_correlations,
    file_table,
    significant_counts,
)
from programde.analysis.tables import ADJUST
from programde.errors import InputError, OptionError, ProgramDEError, some
from programde.io.perturbnmf import find_run, threshold_label
from programde.io.text_tables import neutral_csv
from programde.screen.control_labels import check_ntc_labels


@dataclass(frozen=True)
class Run:
    """What one folder holds.

    Attributes
    ----------
    folder
        Where it was computed.
    point
        Its setting.
    home
        OUT_DIR/RUN_NAME.
    results
        Its results table.
    controls
        Its p-values of control groups.
    labels
        Its control labels that the screen has.
    params
        All that was asked for.
    """

    folder: Path
    point: Point
    home: Path
    results: pd.DataFrame
    controls: pd.DataFrame
    labels: list[str]
    params: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> Run | None:
        """The run in a folder; None where its data are no PerturbNMF run's."""
        params = read_params(folder / PARAMS)
        data = params["data"]
        if data["kind"] != "perturbnmf":
            return None
        if not (folder / paths.RESULTS).exists():
            raise InputError(f"{folder} holds no {paths.RESULTS}: run the pipeline there")
        out_dir = Path(params["inputs"]["out_dir"])
        source = find_run(out_dir, data["run_name"], data["k"], data["density_threshold"])
        point = Point(
            k=data["k"],
            threshold=threshold_label(source),
            covariates=tuple(data["covar_columns"] or ()),
            log_covariates=tuple(data["log1p_columns"] or ()),
        )
        results = read_table(folder / paths.RESULTS)
        if "guide" in results:
            raise InputError(f"{folder}: guides were tested one by one; use analysis.unit=union")
        targets = read_table(folder / paths.INPUT_REPORT / "targets.parquet")["target"]
        labels = check_ntc_labels({t: t for t in targets}, data["ntc_labels"])
        controls = read_table(folder / paths.NTC_P_VALUES)
        home = out_dir / data["run_name"]
        return cls(folder, point, home, results, controls, labels, params)

    def conditions(self) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
        """Each condition with its results and those of its control groups."""
        if "condition" not in self.results:
            yield "", self.results, self.controls
            return
        for level, part in self.results.groupby("condition", sort=False):
            yield str(level), part, self.controls[self.controls["condition"] == level]


def find_runs(folders: Sequence[Path]) -> list[Run]:
    """The PerturbNMF runs in some folders.

    Raises
    ------
    InputError
        None, or two that would write the same file.
    """
    done = [folder for folder in folders if (folder / paths.RESULTS).exists()]
    if len(folders) > 1 and len(done) < len(folders):  # of a sweep some points may have failed
        left = [folder.name for folder in folders if folder not in done]
        print(
            f"note: {len(left)} folder(s) without results left out: {some(left)}", file=sys.stderr
        )
    given = done if len(folders) > 1 else folders
    found = [run for folder in given if (run := Run.of(folder)) is not None]
    if not found:
        raise InputError(
            f"no run with data=perturbnmf in {some(folders) or 'no folder'}; name the folders "
            "where the runs were computed, of a sweep sweeps/points/*"
        )
    places: dict[tuple[Path, str, str], Path] = {}
    for run in found:
        place = (run.home, run.point.folder, run.point.stem(""))
        if place in places:
            raise InputError(
                f"{places[place]} and {run.folder} are runs of the same K, threshold and "
                "covariates, whose files have the same names: name one of them"
            )
        places[place] = run.folder
    return found


def qq(run: Run, condition: str, p: pd.Series, groups: pd.DataFrame, path: Path) -> None:
    """The QQ plot of one condition: targets, and groups of control guides."""
    from programde.report.qq_plots import qq_panel
    from programde.report.style import save_png

    kind = run.params["calibrate"]["kind"]
    column = "raw" if kind == "none" else kind
    curves: dict[str, object] = {"targets": p.to_numpy()}
    if column in groups:
        curves["groups of control guides"] = groups[column].to_numpy()
    title = f"K = {run.point.k}, T = {run.point.threshold}"
    save_png(qq_panel(curves, title=f"{title}, {condition}" if condition else title), path)


def export(
    runs: Sequence[Run], effect: str, adjust: str, level: float, excel: bool = False
) -> list[Path]:
    """Write the files of all points, and the tables over them; the paths written."""
    _check_names(runs)
    written: list[Path] = []
    whole: dict[tuple[Path, str], list[pd.DataFrame]] = {}
    labels: set[str] = set()
    for run in runs:
        _check_effect(run, effect)
        labels |= set(run.labels)
        for condition, results, groups in run.conditions():
            table = file_table(results, effect=effect, adjust=adjust, controls=run.labels)
            base = run.home / "Evaluation" / run.point.folder / run.point.stem(condition)
            text, picture = (base.with_name(f"{base.name}.{end}") for end in ("txt", "png"))
            with replacing(text) as temporary:
                table.to_csv(temporary, sep="\t", index=False)
            qq(run, condition, results["p_value"].dropna(), groups, picture)
            written += [text, picture]
            table.insert(0, "condition", condition or "all")
            table.insert(0, "density_threshold", float(run.point.threshold.replace("_", ".")))
            table.insert(0, "K", run.point.k)
            table["significant"] = table["adj_pval"] <= level
            whole.setdefault((run.home, run.point.covariate_label), []).append(table)
    for (home, covariates), tables in whole.items():
        written += _over_all(home / "Evaluation", covariates, tables, sorted(labels), excel)
    return written


def _check_names(runs: Sequence[Run]) -> None:
    """Conditions may differ in what a file's name cannot show, a slash."""
    for run in runs:
        stems: dict[str, str] = {}
        for condition, *_ in run.conditions():
            other = stems.setdefault(run.point.stem(condition), condition)
            if other != condition:
                raise InputError(
                    f"{run.folder}: conditions {other!r} and {condition!r} would write the same "
                    "file: rename one in data.condition_key's column"
                )


def _check_effect(run: Run, effect: str) -> None:
    test, usage = run.params["test"]["kind"], run.params["usage"]
    if effect == "log2fc" and (test != "ols" or usage.get("transform", "clr") != "clr"):
        raise OptionError(
            "--effect log2fc needs effects on the centred log-ratio scale: test=ols and "
            f"usage.transform=clr, not {test} and {usage.get('transform', 'clr')}"
        )


def _over_all(
    folder: Path, covariates: str, tables: list[pd.DataFrame], labels: list[str], excel: bool
) -> list[Path]:
    """The tables over all K, thresholds and conditions."""
    table = pd.concat(tables, ignore_index=True)
    sheets = {
        "results": table,
        "significant_programs": significant_counts(table),
        "effect_correlations": effect_correlations(table, labels),
    }
    name = f"CRT_{covariates}".replace("/", "_")
    written = []
    for sheet, content in sheets.items():
        path = folder / f"{name}_{sheet}.parquet"
        write_table(content, path)
        written.append(path)
    if excel:
        written.append(_workbook(folder / f"{name}.xlsx", sheets))
    return written


def _workbook(path: Path, sheets: dict[str, pd.DataFrame]) -> Path:
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        raise OptionError(
            "--excel needs openpyxl: pip install 'programde[excel]', or leave it out"
        ) from None
    rows = max(map(len, sheets.values()))
    if rows >= 1_048_576:
        raise InputError(f"{rows:,} rows are more than a sheet holds; the parquet files have them")
    with replacing(path) as temporary, pd.ExcelWriter(temporary, engine="openpyxl") as book:
        for sheet, content in sheets.items():
            content.to_excel(book, sheet_name=sheet, index=False)
    return path


def for_spreadsheets(folder: Path) -> Path:
    """Write a copy of a run's results for spreadsheets; its path."""
    source = folder / paths.RESULTS
    if not source.exists():
        raise InputError(f"{folder} holds no {paths.RESULTS}: run the pipeline there")
    target = folder / paths.RESULTS_CSV.with_name("results_spreadsheet.csv")
    write_table(neutral_csv(read_table(source)), target)
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.export", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    lab = kinds.add_parser("perturbnmf", help="into the folders of a PerturbNMF run")
    lab.add_argument(
        "folders", nargs="*", type=Path, default=[Path()],
        help="where runs were computed (default: here); of a sweep sweeps/points/*",
    )  # fmt: skip
    lab.add_argument(
        "--effect", choices=EFFECTS, default="beta",
        help="what the column log2FC holds: beta, as the lab's client has it (default), or log2fc",
    )  # fmt: skip
    lab.add_argument("--adjust", choices=list(ADJUST), default="bh", help="within each file")
    lab.add_argument("--level", type=float, default=0.05, help="of the column significant")
    lab.add_argument("--excel", action="store_true", help="the tables as a workbook too")
    sheet = kinds.add_parser("spreadsheet", help="results that no spreadsheet takes for formulas")
    sheet.add_argument("folders", nargs="*", type=Path, default=[Path()])
    given = parser.parse_args(arguments)
    try:
        if given.kind == "spreadsheet":
            for folder in given.folders:
                print(for_spreadsheets(folder))
            return 0
        if not 0 < given.level < 1:
            raise OptionError(f"--level {given.level} must lie between 0 and 1")
        runs = find_runs(given.folders)
        for path in export(runs, given.effect, given.adjust, given.level, given.excel):
            print(path)
    except (ProgramDEError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
