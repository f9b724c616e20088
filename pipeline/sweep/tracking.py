"""The record of points in MLflow: one run per point, nested in one run per sweep.

Written by the driver and not by the stages: a stage that is restored from the cache never runs,
so it could record nothing. MLflow is imported where a record is opened (it takes a second).
"""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.files import read_json
from pipeline.sweep.points import Point, dataset_id, setting_id
from pipeline.sweep.workspace import StageRun, locked
from programde.analysis.tables import effect_unit

PARENT_TAG = "mlflow.parentRunId"
POINT_TAG = "programde.point"
SETTING_TAG = "programde.setting"
DATASET_TAG = "programde.dataset"
SWEEP_TAG = "programde.sweep"
ERROR_TAG = "programde.error"
NOTE_TAG = "mlflow.note.content"
UNIT_TAG = "effect_unit"

#: What a point's folder holds that is kept with its run; folders and files that are not there
#: are left out.
KEPT = ("reports", "data/ntc_p_values.parquet", "params.yaml", "dvc.lock", "stages.log")

#: What the columns mean, for whoever opens the experiment in MLflow's browser.
NOTE = Path(__file__).with_name("columns.md")


class Tracking:
    """The record of a project.

    Parameters
    ----------
    root
        The project's folder; a relative database path in `uri` lies in it.
    uri
        MLflow's tracking URI.
    experiment
        Name of the experiment.
    """

    def __init__(self, root: Path, uri: str, experiment: str) -> None:
        self.root = root
        self.uri = _absolute(uri, root)
        self._name = experiment
        with _quiet():
            from mlflow.tracking import MlflowClient  # sets up its own logging
        with _quiet(), locked("tracking", root):
            self.client = MlflowClient(tracking_uri=self.uri)
            self.experiment = self._experiment()

    def _experiment(self) -> str:
        """The experiment's id. Making it, and the database, would race without the lock."""
        found = self.client.get_experiment_by_name(self._name)
        if found is not None:
            return str(found.experiment_id)
        place = (self.root / "mlartifacts").as_uri() if self.uri.startswith("sqlite") else None
        tags = {NOTE_TAG: NOTE.read_text(), "mlflow.experimentKind": "custom_model_development"}
        return str(self.client.create_experiment(self._name, place, tags))

    def open_sweep(self, sweep: str, name: str, command: str) -> str:
        """The run of a sweep: the one of an earlier start of the same sweep, or a new one."""
        with _quiet(), locked("tracking", self.root):
            runs = self._search(f"tags.{SWEEP_TAG} = '{sweep}'")
            if runs:
                run = runs[0].info.run_id
                self.client.update_run(run, status="RUNNING")
                return str(run)
            tags = {SWEEP_TAG: sweep, "programde.command": command, **_git(self.root)}
            return str(
                self.client.create_run(self.experiment, tags=tags, run_name=name).info.run_id
            )

    def close_sweep(self, run: str, n_failed: int, n_points: int) -> None:
        """Mark a sweep as finished, or as failed where a point failed."""
        with _quiet(), locked("tracking", self.root):
            self.client.log_metric(run, "points/all", n_points)
            self.client.log_metric(run, "points/failed", n_failed)
            self.client.set_terminated(run, "FAILED" if n_failed else "FINISHED")

    def interrupt(self, run: str) -> None:
        """Mark a sweep as killed; started again it goes on."""
        with _quiet(), locked("tracking", self.root):
            self.client.set_terminated(run, "KILLED")

    def finished(self, point: str, parent: str | None) -> str | None:
        """The finished run of a point under a parent (or of a point alone), if there is one."""
        for run in self._runs_of(point, parent):
            if run.info.status == "FINISHED":
                return str(run.info.run_id)
        return None

    def finished_under(self, parent: str | None) -> set[str]:
        """The points that have a finished run under a parent."""
        return {run.data.tags[POINT_TAG] for run in self.points(parent)}

    def start(self, point: Point, parent: str | None) -> str:
        """A run for a point: one that was interrupted or failed before, or a new one."""
        with _quiet(), locked("tracking", self.root):
            for run in self._runs_of(point.id, parent):
                if run.info.status != "FINISHED":
                    self.client.update_run(run.info.run_id, status="RUNNING")
                    return str(run.info.run_id)
            tags = {POINT_TAG: point.id, **_git(self.root)}
            if parent is not None:
                tags[PARENT_TAG] = parent
            if point.params:
                tags[SETTING_TAG] = setting_id(point.params)
                tags[DATASET_TAG] = dataset_id(point.params)
                kind, transform = point.params["test"]["kind"], point.params["usage"]["transform"]
                tags[UNIT_TAG] = effect_unit(kind, transform)
            run = self.client.create_run(self.experiment, tags=tags, run_name=_run_name(point))
            self._log(run.info.run_id, {}, _flat_params(point))
            return str(run.info.run_id)

    def finish(self, run: str, workspace: Path, stages: Sequence[StageRun]) -> None:
        """Record what a point computed."""
        metrics = dict(flatten(read_json(workspace / "reports" / "metrics.json")))
        for stage in stages:
            metrics[f"seconds/{stage.stage}"] = stage.seconds
            metrics[f"executed/{stage.stage}"] = float(stage.executed)
        metrics["seconds/total"] = sum(stage.seconds for stage in stages)
        with _quiet(), locked("tracking", self.root):
            self._log(run, metrics, {})
            for name in KEPT:
                path = workspace / name
                if path.is_dir():
                    self.client.log_artifacts(run, str(path), path.name)
                elif path.is_file():
                    self.client.log_artifact(run, str(path))
            for tag in (ERROR_TAG, NOTE_TAG):  # of an earlier try
                if tag in self.client.get_run(run).data.tags:
                    self.client.delete_tag(run, tag)
            self.client.set_terminated(run, "FINISHED")

    def fail(self, run: str, message: str) -> None:
        """Record why a point could not be computed."""
        with _quiet(), locked("tracking", self.root):
            self.client.set_tag(run, ERROR_TAG, message[:5000])
            self.client.set_tag(run, NOTE_TAG, message[:5000])
            self.client.set_terminated(run, "FAILED")

    def points(self, parent: str | None = None, dataset: str | None = None) -> list[Any]:
        """Runs of points, newest first: those of a sweep, or all on the same data."""
        conditions = [f"tags.{POINT_TAG} != ''", "attributes.status = 'FINISHED'"]
        if parent is not None:
            conditions.append(f"tags.`{PARENT_TAG}` = '{parent}'")
        if dataset is not None:
            conditions.append(f"tags.{DATASET_TAG} = '{dataset}'")
        return self._search(" and ".join(conditions))

    def name_of(self, run: str) -> str:
        """The name that a run has in the browser."""
        with _quiet():
            return str(self.client.get_run(run).info.run_name)

    def download(self, run: str, name: str) -> Path | None:
        """A file that is kept with a run; None where there is none."""
        with _quiet(), contextlib.suppress(Exception):
            return Path(self.client.download_artifacts(run, name))
        return None

    def _runs_of(self, point: str, parent: str | None) -> list[Any]:
        runs = self._search(f"tags.{POINT_TAG} = '{point}'")
        return [run for run in runs if run.data.tags.get(PARENT_TAG) == parent]

    def _search(self, condition: str) -> list[Any]:
        runs: list[Any] = []
        token = None
        with _quiet():
            while True:
                page = self.client.search_runs(
                    [self.experiment],
                    condition,
                    max_results=1000,
                    order_by=["attributes.start_time DESC"],
                    page_token=token,
                )
                runs += list(page)
                token = page.token
                if not token:
                    return runs

    def _log(self, run: str, metrics: Mapping[str, float], params: Mapping[str, str]) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        self.client.log_batch(
            run,
            metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
            params=[Param(key, value) for key, value in params.items()],
        )


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of nested metrics by their path: ``ntc/rate_05``; what is not finite is left."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and math.isfinite(value):
            yield f"{prefix}{key}", float(value)


def _run_name(point: Point) -> str:
    """A point's name for a narrow column: a choice without the name of its folder."""
    words = (word.partition("=") for word in point.name.split())
    return " ".join(value if key in point.choices else key + sign + value
                    for key, sign, value in words)  # fmt: skip


def _flat_params(point: Point) -> dict[str, str]:
    """What was picked from each folder of conf/, and every key by its dotted name."""
    flat: dict[str, str] = {}

    def walk(tree: Mapping[str, Any], prefix: str) -> None:
        for key, value in tree.items():
            if isinstance(value, Mapping):
                walk(value, f"{prefix}{key}.")
            else:
                flat[f"{prefix}{key}"] = str(value)[:6000]

    walk(point.params, "")
    return {**flat, **point.choices}


def _git(root: Path) -> dict[str, str]:
    """Commit and state of the project's repository; nothing where there is none."""
    import subprocess

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "HEAD")
    if not commit:
        return {}
    dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
    return {"mlflow.source.git.commit": commit, "git.dirty": str(dirty).lower()}


def _absolute(uri: str, root: Path) -> str:
    """A database beside the project, whatever folder we are in."""
    prefix = "sqlite:///"
    if uri.startswith(prefix) and not uri.startswith(prefix + "/"):
        return f"{prefix}{root / uri.removeprefix(prefix)}"
    return uri


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow without telemetry, and without its remarks on a new database."""
    import logging

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
