"""The record of points in MLflow: one run per point, nested in one run per sweep.

Written by the driver and not by the stages: a stage that is restored from the cache never runs,
so it could record nothing. MLflow is imported where a record is opened (it takes a second).
"""

from __future__ import annotations

import contextlib
import getpass
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pandas as pd

from pipeline.stages import paths
from pipeline.sweep.database import absolute, check_database, recording
from pipeline.sweep.points import Point, dataset_id, setting_id
from pipeline.sweep.record import (
    datasets,
    describing,
    flat_params,
    keep,
    run_name,
    shown_numbers,
    tables,
)
from pipeline.sweep.workspace import StageRun, locked
from pipeline.upstream import default_artifacts
from programde.analysis.tables import effect_unit

PARENT_TAG = "mlflow.parentRunId"
POINT_TAG = "programde.point"
SETTING_TAG = "programde.setting"
DATASET_TAG = "programde.dataset"
SWEEP_TAG = "programde.sweep"
ERROR_TAG = "programde.error"
NOTE_TAG = "mlflow.note.content"
UNIT_TAG = "effect_unit"
#: MLflow's own: where it says which artifacts are tables, and what it shows of a run's origin.
TABLES_TAG = "mlflow.loggedArtifacts"
SOURCE = {"mlflow.source.name": "pipeline.sweep", "mlflow.source.type": "LOCAL"}
#: Within a sweep's run: its page, the points that were refused, what the programs of its data are.
ANSWER, REFUSED, SPECTRA = "sweep", "refused", "spectra"

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

    Raises
    ------
    RecordError
        The record cannot be used; so does every method that reads or writes it.
    """

    def __init__(self, root: Path, uri: str, experiment: str) -> None:
        self.root = root
        self.uri = absolute(uri, root)
        with locked("tracking", root):
            check_database(self.uri)
        self._name, self._artifacts = experiment, (root / "mlartifacts").as_uri()
        with recording(self.uri):
            from mlflow.tracking import MlflowClient  # sets up its own logging
        with self._writing(), default_artifacts(self._artifacts):
            self.client = MlflowClient(tracking_uri=self.uri)
            self.experiment = self._experiment()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time, and one line where it fails."""
        with recording(self.uri), locked("tracking", self.root):
            yield

    def _experiment(self) -> str:
        """The experiment's id. Making it, and the database, would race without the lock."""
        found = self.client.get_experiment_by_name(self._name)
        if found is not None:
            return str(found.experiment_id)
        place = self._artifacts if self.uri.startswith("sqlite") else None
        tags = {NOTE_TAG: NOTE.read_text(), "mlflow.experimentKind": "custom_model_development"}
        return str(self.client.create_experiment(self._name, place, tags))

    def open_sweep(self, sweep: str, name: str, command: str) -> str:
        """The run of a sweep: the one of an earlier start of the same sweep, or a new one."""
        with self._writing():
            if (run := self.sweep(sweep)) is not None:
                self.client.update_run(run, status="RUNNING")
                return run
            tags = {SWEEP_TAG: sweep, "programde.command": command, **_origin(self.root)}
            return str(
                self.client.create_run(self.experiment, tags=tags, run_name=name).info.run_id
            )

    def sweep(self, sweep: str) -> str | None:
        """The run of a sweep that was begun before, if there is one."""
        runs = self._search(f"tags.{SWEEP_TAG} = '{sweep}'")
        return str(runs[0].info.run_id) if runs else None

    def close_sweep(
        self, run: str, n_failed: int, n_points: int, refused: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Mark a sweep as finished, or as failed where a point failed.

        Parameters
        ----------
        refused
            Points that are not allowed, with the reason. They have no runs.
        """
        with self._writing():
            self.client.log_metric(run, "points/all", n_points)
            self.client.log_metric(run, "points/failed", n_failed)
            if refused:
                table = pd.DataFrame(refused, columns=["setting", "reason"])
                self._log_tables(run, {REFUSED: table})
            self.client.set_terminated(run, "FAILED" if n_failed else "FINISHED")

    def keep_answer(self, run: str, folder: Path, tags: Mapping[str, str]) -> None:
        """Keep the page of a sweep, its tables and pictures, with its run."""
        with self._writing():
            self.client.log_artifacts(run, str(folder), ANSWER)
            for key, value in tags.items():
                self.client.set_tag(run, key, value[:5000])

    def interrupt(self, run: str) -> None:
        """Mark a sweep or a point as killed; started again it goes on."""
        with self._writing():
            self.client.set_terminated(run, "KILLED")

    def mark_killed(self, parent: str) -> int:
        """Mark the points of a sweep that a killed driver left as running; how many there were.

        Whether somebody is computing a point is known by its lock, on the disk that we share.
        """
        running = f"tags.`{PARENT_TAG}` = '{parent}' and attributes.status = 'RUNNING'"
        marked = 0
        for run in self._search(running):
            point = f"point-{run.data.tags.get(POINT_TAG)}"
            with contextlib.suppress(BlockingIOError), locked(point, self.root, wait=False):
                self.interrupt(run.info.run_id)
                marked += 1
        return marked

    def finished(self, point: str, parent: str | None) -> Any | None:
        """The finished run of a point under a parent (or of a point alone), if there is one."""
        done = (run for run in self._runs_of(point, parent) if run.info.status == "FINISHED")
        return next(done, None)

    def finished_under(self, parent: str | None) -> set[str]:
        """The points that have a finished run under a parent."""
        return {run.data.tags[POINT_TAG] for run in self.points(parent)}

    def start(self, point: Point, parent: str | None) -> str:
        """A run for a point: one that was interrupted or failed before, or a new one."""
        with self._writing():
            for run in self._runs_of(point.id, parent):
                if run.info.status != "FINISHED":
                    self.client.update_run(run.info.run_id, status="RUNNING")
                    return str(run.info.run_id)
            tags = {POINT_TAG: point.id, **_origin(self.root), **_setting_tags(point)}
            if parent is not None:
                tags[PARENT_TAG] = parent
            run = self.client.create_run(self.experiment, tags=tags, run_name=run_name(point))
            self._log(run.info.run_id, {}, flat_params(point))
            self._log_data(run.info.run_id, point)
            return str(run.info.run_id)

    def finish(self, run: str, point: Point, workspace: Path, stages: Sequence[StageRun]) -> None:
        """Record what a point computed."""
        level = float(point.params["fdr"]["level"])
        with self._writing():
            self._log(run, shown_numbers(workspace, stages), {})
            for key, value in describing(workspace).items():
                self.client.set_tag(run, key, value)
            self._log_tables(run, tables(workspace, level))
            self._keep_spectra(run, point, workspace)
            for name in KEPT:
                keep(self.client, run, workspace / name)
            for tag in (ERROR_TAG, NOTE_TAG):  # of an earlier try
                if tag in self.client.get_run(run).data.tags:
                    self.client.delete_tag(run, tag)
            self.client.set_terminated(run, "FINISHED")

    def fail(self, run: str, message: str) -> None:
        """Record why a point could not be computed."""
        with self._writing():
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

    def failures(self, parent: str) -> list[tuple[str, str]]:
        """Points of a sweep without a result, with the reason: those that failed, and refused."""
        failed = [
            (str(run.info.run_name), run.data.tags.get(ERROR_TAG, "no word from it"))
            for run in self._search(
                f"tags.`{PARENT_TAG}` = '{parent}' and attributes.status = 'FAILED'"
            )
        ]
        path = kept(self.run(parent), f"tables/{REFUSED}.json")
        if path is not None:
            table = json.loads(path.read_text(encoding="utf-8"))
            failed += [(str(setting), str(reason)) for setting, reason in table["data"]]
        return failed

    def run(self, run: str) -> Any:
        """A run with its parameters, tags and metrics."""
        with recording(self.uri):
            return self.client.get_run(run)

    def found(self, words: str) -> Any | None:
        """The finished run of a point that an id, the beginning of one, or a name means."""
        runs = self.points()
        for named in (
            [run for run in runs if run.info.run_id.startswith(words)],
            [run for run in runs if run.info.run_name == words],
        ):
            if named:
                return named[0]
        return None

    def download(self, run: Any, name: str) -> Path | None:
        """A file that is kept with a run; None where there is none."""
        if (path := kept(run, name)) is not None:
            return path
        if folder_of(run) is not None:
            return None
        with contextlib.suppress(Exception), recording(self.uri):
            return Path(self.client.download_artifacts(run.info.run_id, name))
        return None

    def spectra(self, run: Any) -> pd.DataFrame | None:
        """What the programs of a point's data are, programs x genes; None where it is not kept."""
        name = f"{SPECTRA}/{run.data.tags.get(DATASET_TAG)}.parquet"
        parent = run.data.tags.get(PARENT_TAG)
        path = self.download(self.run(parent) if parent else run, name)
        return None if path is None else pd.read_parquet(path)

    def _keep_spectra(self, run: str, point: Point, workspace: Path) -> None:
        """Keep the spectra of a point's data, once for all points of a sweep on them."""
        folder = workspace / paths.SCREEN
        if not (folder / "spectra.npy").is_file():
            return
        place = self.client.get_run(run).data.tags.get(PARENT_TAG, run)
        name = f"{dataset_id(point.params)}.parquet"
        listed = self.client.list_artifacts(place, SPECTRA)
        if any(item.path == f"{SPECTRA}/{name}" for item in listed):
            return
        from programde.screen.store import load_screen

        spectra = load_screen(folder).spectra
        if spectra is not None:
            with tempfile.TemporaryDirectory() as temporary:
                spectra.astype("float32").to_parquet(Path(temporary) / name, compression="zstd")
                self.client.log_artifact(place, str(Path(temporary) / name), SPECTRA)

    def _log_data(self, run: str, point: Point) -> None:
        """Say which data a run is of."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if not point.params:
            return
        context = [InputTag("mlflow.data.context", "screen")]
        inputs = [DatasetInput(Dataset(**one), context) for one in datasets(point.params)]
        self.client.log_inputs(run, inputs)

    def _log_tables(self, run: str, made: Mapping[str, pd.DataFrame]) -> None:
        """Keep tables in the form that MLflow's browser shows as such; older ones are replaced."""
        files = {name: f"tables/{name}.json" for name in made}
        for name, table in made.items():
            rows = table.astype(object).where(table.notna(), None)
            text = json.dumps({"columns": list(table.columns), "data": rows.to_numpy().tolist()})
            self.client.log_text(run, text, files[name])
        listed = [{"path": file, "type": "table"} for file in files.values()]
        self.client.set_tag(run, TABLES_TAG, json.dumps(listed))

    def _runs_of(self, point: str, parent: str | None) -> list[Any]:
        runs = self._search(f"tags.{POINT_TAG} = '{point}'")
        return [run for run in runs if run.data.tags.get(PARENT_TAG) == parent]

    def _search(self, condition: str) -> list[Any]:
        runs: list[Any] = []
        token = None
        with recording(self.uri):
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


def kept(run: Any, name: str) -> Path | None:
    """A file that is kept with a run on this machine; None where there is none."""
    folder = folder_of(run)
    if folder is None or not (folder / name).is_file():
        return None
    return folder / name


def folder_of(run: Any) -> Path | None:
    """Where a run's files lie; None where that is not on this machine."""
    where = urlparse(run.info.artifact_uri)
    return Path(unquote(where.path)) if where.scheme in ("", "file") else None


def _setting_tags(point: Point) -> dict[str, str]:
    """What identifies and describes a point's setting."""
    if not point.params:
        return {}
    kind, transform = point.params["test"]["kind"], point.params["usage"]["transform"]
    return {
        SETTING_TAG: setting_id(point.params),
        DATASET_TAG: dataset_id(point.params),
        UNIT_TAG: effect_unit(kind, transform),
        "statistic": kind,
        "sampler": point.choices.get("sampler", point.params["sampler"]["kind"]),
    }


def _origin(root: Path) -> dict[str, str]:
    """Who started a run, and from which code."""
    user = {}
    with contextlib.suppress(Exception):  # a container may have no name for its user
        user = {"mlflow.user": getpass.getuser()}
    return {**SOURCE, **user, **_git(root)}


def _git(root: Path) -> dict[str, str]:
    """Commit and state of the project's repository; nothing where there is none."""
    import subprocess

    def git(*arguments: str) -> str:
        words = ["git", "-C", str(root), *arguments]
        try:
            done = subprocess.run(words, capture_output=True, text=True)
        except OSError:  # not installed
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "HEAD")
    if not commit:
        return {}
    dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
    return {"mlflow.source.git.commit": commit, "git.dirty": str(dirty).lower()}
