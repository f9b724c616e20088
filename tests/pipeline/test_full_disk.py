"""A full disk: one line that says what is free and what to do, and the same command goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.files import replacing, replacing_folder
from pipeline.troubles import DiskFullError, disk_full, of_the_system

from .conftest import Project

ROOT = Path(__file__).parents[2]

#: A stage that needs three megabytes, and writes them as ours do.
STAGE = """
import numpy as np
from pipeline.files import replacing_folder
from pipeline.stages.entry import run
def function(params):
    with replacing_folder("data") as folder:
        np.save(folder / "x.npy", np.arange(400_000))
run("only", function, lambda conf: {})
"""


def mount(place: Path, size: str) -> None:
    """A file system in memory; skips, saying so, where that is not allowed."""
    place.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no file system can be mounted: {error}")
    if done.returncode:
        pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """A file system of a megabyte, and what makes it larger."""
    place = tmp_path / "disk"
    mount(place, "1m")

    def enlarge(megabytes: int) -> None:
        words = ["mount", "-o", f"remount,size={megabytes}m", str(place)]
        subprocess.run(words, check=True, capture_output=True)

    yield place, enlarge
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_what_was_being_written_is_told(disk: tuple[Path, Callable[[int], None]]) -> None:
    place, enlarge = disk
    (place / "kept").write_text("before")
    with pytest.raises(DiskFullError) as line, replacing(place / "kept") as temporary:
        temporary.write_bytes(b"x" * (4 << 20))
    said = str(line.value)
    assert said.startswith(f"{place / 'kept'}: no space left on the disk: 1.0 MB are free ")
    assert "it needs more than 1.0 MB" in said
    assert "run the same command again" in said
    with pytest.raises(DiskFullError), replacing_folder(place / "folder") as temporary:
        (temporary / "x").write_bytes(b"x" * (4 << 20))
    assert [path.name for path in place.iterdir()] == ["kept"]  # nothing half-written
    assert (place / "kept").read_text() == "before"
    enlarge(8)
    with replacing(place / "kept") as temporary:
        temporary.write_bytes(b"x" * (4 << 20))


@pytest.mark.slow
@pytest.mark.brief
def test_a_run_goes_on_when_there_is_room(disk: tuple[Path, Callable[[int], None]]) -> None:
    place, enlarge = disk
    for folder in ("conf", ".dvc"):
        (place / folder).mkdir()
    (place / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (place / "only.py").write_text(STAGE)
    text = f"stages:\n  only:\n    cmd: {sys.executable} only.py\n    outs: [data]\n"
    (place / "dvc.yaml").write_text(text)

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipeline.run"],
            cwd=place, capture_output=True, text=True, timeout=120,
            env={**os.environ, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"},
        )  # fmt: skip

    done = run()
    assert done.returncode == 1
    assert done.stderr.startswith("only: data: no space left on the disk: ")
    assert done.stderr.count("\n") == 1
    enlarge(16)
    done = run()
    assert (done.returncode, done.stderr) == (0, "")


def test_how_a_full_disk_is_known(tmp_path: Path) -> None:
    for error in (
        OSError(28, "No space left on device"),
        OSError("400000 requested and 65520 written"),  # numpy
        OSError("Can't write data (file write failed: error message = 'No space left on device')"),
    ):
        line = of_the_system(error, tmp_path / "absent" / "x")
        assert line is not None
        assert "no space left on the disk" in line
    assert of_the_system(OSError(2, "No such file or directory", "x")) is None
    assert "make it yours" in str(of_the_system(PermissionError(13, "Permission denied", "x")))
    assert "2.0 MB" in disk_full(tmp_path, 2_000_000)


@pytest.fixture
def crowded(swept: Project) -> Iterator[tuple[Project, Callable[[str], Path]]]:
    """A project whose sweeps, cache and artifacts lie on disks of their own, and what fills one."""
    places = [swept.folder / name for name in ("sweeps", ".dvc/cache", "mlartifacts")]
    mounted = []
    try:
        for place in places:
            mount(place, "16m")
            mounted.append(place)

        def fill(name: str) -> Path:
            ballast = swept.folder / name / "ballast"
            with ballast.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
                while True:
                    stream.write(bytes(4096))
            return ballast

        yield swept, fill
    finally:
        for place in mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_a_sweep_goes_on_when_there_is_room(
    crowded: tuple[Project, Callable[[str], Path]],
) -> None:
    """Where the code is copied to, in the cache, and where the record keeps its files."""
    project, fill = crowded
    words = ("-m", "report.seed=1,2")
    ballast = fill("sweeps")
    done = project.sweep(*words)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"sweep: {project.folder}/sweeps/")
    assert ": no space left on the disk: 0.0 MB are free" in done.err
    assert done.err.count("\n") == 1
    ballast.unlink()

    ballast = fill(".dvc/cache")
    done = project.sweep(*words)
    assert done.status == 1
    assert "2 points in " in done.out  # the second was tried
    failed = [line for line in done.err.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 2
    assert all("no space left on the disk: 0.0 MB are free" in line for line in failed), failed
    assert "Traceback" not in done.err
    ballast.unlink()

    ballast = fill("mlartifacts")
    done = project.sweep(*words)
    assert done.status == 1
    assert [outcome.state for outcome in project.outcomes()] == ["computed"] * 2
    assert "2 points are computed and not recorded: " in done.err
    assert "no space left on the disk" in done.err
    made = outputs(project)
    ballast.unlink()

    done = project.sweep(*words)
    assert done.status == 0, done.err
    assert len(project.tracking().points()) == 2
    assert outputs(project) == made
    for name in ("points", "code"):
        shutil.rmtree(project.folder / "sweeps" / name)
    shutil.rmtree(project.folder / ".dvc/cache/runs")
    done = project.sweep("-m", "report.seed=2,1")  # another sweep, in peace
    assert done.status == 0, done.err
    assert outputs(project) == made


def outputs(project: Project) -> dict[str, bytes]:
    """What the points of sweeps computed, and what DVC remembers of it."""
    points = project.folder / "sweeps/points"
    files = [f for top in ("data", "reports") for f in points.glob(f"*/{top}/**/*") if f.is_file()]
    files += points.glob("*/dvc.lock")
    return {str(file.relative_to(points)): file.read_bytes() for file in files}
