"""A project that is to be disturbed: a tiny screen, the commands, and a hash of what they made."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
#: What a project is made of.
CODE = ("conf", "dvc.yaml", "pipeline", "programde", "programde_project", ".dvcignore")
#: A screen and an analysis that take as little as they can.
WORDS = (
    "data.N=200", "data.K=3", "data.n_target_genes=3", "data.n_batches=1", "data.n_cov_extra=0",
    "n_resamples=19", "analysis.min_treated=2", "spikes.n_sets=0", "controls.n_partitions=1",
    "controls.min_groups=2", "report.n_boot=10", "report.n_opened=1", "compute.n_jobs=1",
)  # fmt: skip
RUN = ("-m", "pipeline.run")
COMMANDS = {
    "run": RUN,
    "run on Dask": RUN,
    "sweep": ("-m", "pipeline.sweep", "-m", "report.seed=1,2"),
    "dvc repro": ("-m", "dvc", "repro", "-q"),
}
#: What a command's project says beyond `WORDS`.
ALSO = {"run on Dask": ("compute=dask", "compute.workers=2")}
#: Seconds that a command may take.
LONGEST = 900.0


class Command:
    """A command in a project's folder.

    What it says goes to a file: a stage that is left behind would hold a pipe open.
    """

    def __init__(self, project: Path, name: str) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        quiet = {"DVC_NO_ANALYTICS": "1", "CI": "true"}
        with tempfile.NamedTemporaryFile(delete=False, suffix=".said") as said:
            self.process = subprocess.Popen(
                [sys.executable, *COMMANDS[name]],
                cwd=project, env={**os.environ, **threads, **quiet, "PATH": path},
                stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._said = Path(said.name)

    def end(self) -> tuple[int, list[str]]:
        """Wait for it; its status and the lines that it said."""
        try:
            status = self.process.wait(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return -1, [f"not at its end after {LONGEST:.0f} s"]
        lines = self._said.read_text(errors="replace").splitlines()
        self._said.unlink()
        return status, [line for line in lines if line.strip()]


def make_project(folder: Path, source: Path = ROOT) -> Path:
    """A project with the code of this checkout, or of another project."""
    folder.mkdir(parents=True)
    for name in CODE:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy2
        copy(source / name, folder / name)  # with its times: numba's cache goes by them
    (folder / ".dvc").mkdir()
    settings = "[core]\n    analytics = false\n    check_update = false\n    no_scm = true\n"
    (folder / ".dvc/config").write_text(settings)
    return folder


def forget(project: Path, name: str) -> None:
    """Delete what was computed, cache and all; the code stays, and what `name` is to analyse."""
    for there in ("data", "reports", "sweeps", "mlartifacts", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(project / there, ignore_errors=True)
    for file in (*project.glob("mlflow.db*"), project / "dvc.lock", project / "params.yaml"):
        file.unlink(missing_ok=True)
    words = [*WORDS, *ALSO.get(name, ())]
    (project / "conf/run.yaml").write_text("".join(f"- {word}\n" for word in words))


def made(project: Path, name: str) -> str:
    """A hash of all that a run made, or all points of a sweep: outputs and DVC's record of them."""
    digest = hashlib.blake2b(digest_size=8)
    points = sorted((project / "sweeps/points").glob("[!.]*"))
    for place in points if name == "sweep" else [project]:
        for top in ("data", "reports"):
            for file in sorted((place / top).rglob("*")):
                inside = file.relative_to(place)
                page = inside.parts[:2] == ("reports", "sweep")  # the ranking says when it was made
                if file.is_file() and not page:
                    digest.update(f"{place.relative_to(project)}/{inside}\0".encode())
                    digest.update(file.read_bytes())
        if (place / "dvc.lock").is_file():
            digest.update((place / "dvc.lock").read_bytes())
    return digest.hexdigest()


def damage(project: Path, chance: random.Random) -> None:
    """Change or cut objects of the cache, and delete what was made of them."""
    objects = sorted(p for p in (project / ".dvc/cache/files").rglob("*") if p.is_file())
    for file in chance.sample(objects, min(3, len(objects))):
        content = bytearray(file.read_bytes()) or bytearray(b"x")
        content[chance.randrange(len(content))] ^= 0xFF
        file.chmod(0o644)
        file.write_bytes(content[: chance.choice([len(content), len(content) // 2])])
    for name in ("data", "reports"):
        shutil.rmtree(project / name, ignore_errors=True)
    (project / "dvc.lock").unlink(missing_ok=True)


def left_in(project: Path) -> list[str]:
    """What still runs in a project's folder five seconds after its command ended."""
    found: list[str] = []
    for _ in range(50):
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if Path(process.cwd()).is_relative_to(project):
                    found.append(" ".join(process.cmdline())[-60:])
        if not found:
            break
        time.sleep(0.1)
    return found
