"""What is computed is not lost because it cannot be recorded; a record that is no use is told."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from pipeline.files import replacing
from pipeline.sweep.database import RecordError, check_database, recording
from pipeline.sweep.tracking import PARENT_TAG, POINT_TAG

from .conftest import Project


def altered(base: Path, command: str) -> None:
    with sqlite3.connect(base) as connection:
        connection.execute(command)
    connection.close()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("garbage", "is damaged (file is not a database)"),
        ("half", "is damaged (database disk image is malformed)"),
        ("hole", "is damaged ("),
        ("table", "is damaged (it has no table runs)"),
        ("other", "none of MLflow's"),
        ("folder", "is a folder"),
    ],
)
def test_a_database_that_is_no_use(how: str, said: str, empty_record: Path, tmp_path: Path) -> None:
    base = tmp_path / "mlflow.db"
    whole = empty_record.read_bytes()
    if how == "folder":
        base.mkdir()
    elif how == "other":
        altered(base, "CREATE TABLE x (a)")
    else:
        base.write_bytes(whole)
        if how == "table":
            altered(base, "DROP TABLE runs")
        changed = {
            "garbage": b"x" * 5000,
            "half": whole[: len(whole) // 2],
            "hole": whole[:8192] + bytes(20480) + whole[28672:],
        }
        if how in changed:
            base.write_bytes(changed[how])
    with pytest.raises(RecordError) as line:
        check_database(f"sqlite:///{base}")
    assert said in str(line.value)
    assert str(base) in str(line.value)
    check_database(f"sqlite:///{empty_record}")
    check_database("https://example.org")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "x"), "no space left on the disk"),
        (sqlite3.OperationalError("database or disk is full"), "no space left on the disk"),
        (sqlite3.DatabaseError("database disk image is malformed"), "is damaged"),
        (sqlite3.OperationalError("no such column: y"), "cannot be used: no such column: y"),
    ],
)
def test_what_mlflow_raises_is_one_line(error: Exception, said: str, tmp_path: Path) -> None:
    with (
        pytest.raises(RecordError, match=said),
        recording(f"sqlite:///{tmp_path / 'mlflow.db'}"),
    ):
        raise error
    with pytest.raises(ZeroDivisionError), recording("sqlite:///x.db"):
        raise ZeroDivisionError


@pytest.mark.slow
@pytest.mark.brief
def test_a_damaged_record_stops_a_sweep_before_it_computes(project: Project) -> None:
    (project.folder / "mlflow.db").write_bytes(b"x" * 5000)
    done = project.sweep("-m", "seed=1,2")
    assert done.status == 1
    assert done.err.startswith(f"sweep: {project.folder / 'mlflow.db'}, MLflow's record of runs, ")
    assert "--record" in done.err
    assert done.err.count("\n") == 1
    assert not (project.folder / "sweeps/points").exists()
    again = project.sweep("--record")  # no sweep that waits, and told all the same
    assert (again.status, again.out, again.err) == (1, "", done.err)


@pytest.mark.slow
def test_points_are_recorded_later(swept: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full while they are entered, and where the whole record is lost."""
    empty = (swept.folder / "mlflow.db").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "mlartifacts/x")

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.tracking.MlflowClient.log_artifacts", full)
        done = swept.sweep("-m", "report.seed=1,2")
    assert done.status == 1
    assert [outcome.state for outcome in swept.outcomes()] == ["computed"] * 2
    assert "report.seed=1: ran prepare, crt, diagnostics, not recorded" in done.out
    (line,) = [one for one in done.err.splitlines() if "could not be ranked" not in one]
    assert line.startswith("sweep: 2 points are computed and not recorded: ")
    assert "no space left on the disk" in line
    assert line.endswith("python -m pipeline.sweep --record")
    assert swept.tracking().points() == []

    done = swept.sweep("--record")
    assert (done.status, done.out) == (0, "2 points entered into the record\n"), done.err
    points = swept.tracking().points()
    assert len({run.data.tags[POINT_TAG] for run in points}) == 2
    assert list((swept.folder / "reports/sweep").glob("*/index.html"))
    assert swept.sweep("--record").out == "0 points entered into the record\n"

    (swept.folder / "mlflow.db").unlink()  # this process has it open: another asks
    with replacing(swept.folder / "mlflow.db") as temporary:
        temporary.write_bytes(empty)
    shutil.rmtree(next((swept.folder / "sweeps/points").iterdir()))
    done = swept.run("pipeline.sweep", "--record")
    assert done.stdout == (
        "1 points entered into the record; 1 have no folder any more: run their sweep again\n"
    )


@pytest.mark.slow
def test_points_that_a_killed_driver_left_are_marked(swept: Project) -> None:
    done = swept.sweep("-m", "report.seed=1")
    assert done.status == 0, done.err
    tracking = swept.tracking()
    (point,) = tracking.points()
    parent = point.data.tags[PARENT_TAG]
    tracking.client.update_run(point.info.run_id, status="RUNNING")
    assert tracking.mark_killed(parent) == 1
    assert tracking.run(point.info.run_id).info.status == "KILLED"
    assert tracking.mark_killed(parent) == 0
