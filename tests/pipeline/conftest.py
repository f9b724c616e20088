"""A tiny project: the real configuration and machinery, and fake stages that count their runs."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.stages.entry import STAGE_LOG
from pipeline.sweep.repository import dvc_repository
from pipeline.warm import kept
from programde.report.metrics import calibration_metrics
from tests.sharing import made_once, shared_folder

from .read_once import (  # noqa: F401  fixtures of every test
    _dvc_reads_a_text_once,
    _hydra_merges_the_same_files_once,
    _hydra_parses_a_text_once,
)
from .readings import prepared  # noqa: F401  fixtures of several files, made once
from .wires import bases  # noqa: F401

if TYPE_CHECKING:
    from pipeline.sweep.telling import Outcome
    from pipeline.sweep.tracking import Tracking

ROOT = Path(__file__).parents[2]

FAKE_STAGE = """
import json
from pathlib import Path
from pipeline.config.params import FREE
from pipeline.files import write_json, write_text
from pipeline.stages.entry import stage
from programde.errors import InputError

NAME, READS, WRITES = {name!r}, {reads!r}, {writes!r}


@stage(NAME)
def main(o):
    parts = [Path(path).read_text() for path in READS]
    used = {{k: v for k, v in o.as_dict().items() if k not in FREE}}
    parts.append(NAME + ":" + json.dumps(used, sort_keys=True))
    text = "\\n".join(parts)
    if NAME == "crt" and o.seed == 666:
        raise InputError("the number of the beast\\nis no seed")
    if NAME == "crt" and o.seed == 130:
        raise KeyboardInterrupt
    if NAME == "crt" and o.seed == 28:
        raise OSError(28, "No space left on device", "data/crt")
    for path in WRITES:
        if path.endswith(".json"):
            write_json(path, json.loads({metrics!r}))
        else:
            write_text(path, text)


if __name__ == "__main__":
    main()
"""


def fake_metrics() -> dict[str, Any]:
    """Metrics of control p-values that are uniform, as stage diagnostics writes them."""
    p_values = np.random.default_rng(1).uniform(size=(400, 20))
    ntc = calibration_metrics(pd.DataFrame(p_values), n_boot=50)
    return {"ntc": ntc, "discoveries": {"bh10": 7}, "truth": {}}


STAGES = {
    "prepare": ([], ["data/screen"], ["data", "usage", "covariates"]),
    "crt": (
        ["data/screen"],
        ["data/crt"],
        ["data.ntc_labels", "sampler", "test", "n_resamples", "seed", "side"],
    ),
    "ntc_null": (
        ["data/screen"],
        ["data/ntc_null"],
        ["controls", "data.ntc_labels", "sampler", "test", "n_resamples", "seed", "side"],
    ),
    "calibrate": (
        ["data/crt", "data/ntc_null"],
        ["reports/results.csv"],
        ["calibrate", "fdr.adjust", "side"],
    ),
    "diagnostics": (
        ["reports/results.csv"],
        ["reports/metrics.json", "reports/index.html"],
        ["fdr", "report"],
    ),
}


METRICS_JSON = json.dumps(fake_metrics(), default=float)

SHORT = {
    "prepare": STAGES["prepare"],
    "crt": STAGES["crt"],
    "diagnostics": (["data/crt"], *STAGES["diagnostics"][1:]),
}


@pytest.fixture(autouse=True)
def _private_dvc(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC and MLflow leave nothing outside the test's folders and talk to nobody."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("site")))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("CI", "true")


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """See `render_nothing`."""
    render_nothing(monkeypatch)


def render_nothing(patch: pytest.MonkeyPatch) -> None:
    """Pictures are made but not rendered, which takes longest of a report: files of one pixel."""
    from programde.report import pictures
    from programde.report.style import figure_of, write_atomically

    pixel = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
        "789c63f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
    )

    def save(picture: Any, path: Path) -> Path:
        assert figure_of(picture).axes
        return write_atomically(path.with_name(f"{path.name}.png"), pixel)

    patch.setattr(pictures, "save_picture", save)


@dataclass
class Sweep:
    """How the driver left, or a stage."""

    status: int
    out: str
    err: str


class Project:
    """A folder with conf/, dvc.yaml and fake stages; commands run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "executed.jsonl"
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            STAGE_LOG: str(self.log),
        }

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `python -m ARGUMENTS` in the folder."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def stage(self, name: str, *words: str) -> Sweep:
        """`python -m fake.NAME WORDS` in this process, which saves importing Hydra every time."""
        with self._as_a_process(f"fake/{name}.py", *words) as (out, err):
            for module in [m for m in sys.modules if m.split(".")[0] == "fake"]:
                del sys.modules[module]
            with pytest.MonkeyPatch.context() as patch:
                patch.syspath_prepend(self.folder)
                patch.setattr("warnings.showwarning", None)  # the stage sets its own
                patch.delenv(STAGE_LOG)
                status = 0
                try:
                    importlib.import_module(f"fake.{name}").main()
                except SystemExit as left:
                    status = int(left.code or 0)
        return Sweep(status, out.getvalue(), err.getvalue())

    def repro(self, **options: bool) -> list[str]:
        """What `dvc repro` does, without starting a process for DVC; the stages it executed."""
        self.log.unlink(missing_ok=True)
        loaded = {k: v for k, v in self.environment.items() if k != STAGE_LOG}
        with pytest.MonkeyPatch.context() as patch:
            for key, value in {**self.environment, **kept(ROOT, loaded)}.items():
                patch.setenv(key, value)
            with dvc_repository(self.folder) as repo:
                repo.reproduce(**options)
        return self.executed()

    def executed(self) -> list[str]:
        """The stages that ran since the last `repro`, in the order of dvc.yaml."""
        lines = self.log.read_text().splitlines() if self.log.is_file() else []
        names = [json.loads(line)["stage"] for line in lines]
        return sorted(names, key=["compose", *STAGES].index)

    def sweep(self, *arguments: str) -> Sweep:
        """Run the driver in this process, which saves importing MLflow again and again."""
        from pipeline.sweep import driver as sweep

        with (
            self._as_a_process("sweep", *arguments) as (out, err),
            pytest.raises(SystemExit) as left,
        ):
            sweep.main()
        return Sweep(int(left.value.code or 0), out.getvalue(), err.getvalue())

    @contextlib.contextmanager
    def _as_a_process(self, *argv: str) -> Iterator[tuple[io.StringIO, io.StringIO]]:
        """The command line, folder and environment of a process; what is printed."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for key, value in self.environment.items():
                patch.setenv(key, value)
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", list(argv))
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                yield out, err

    def outcomes(self) -> list[Outcome]:
        """How the points of the newest sweep ended."""
        from pipeline.sweep.telling import read_outcome

        runs = (self.folder / "sweeps" / "runs").iterdir()
        newest = max(runs, key=lambda path: (path / "sweep.json").stat().st_mtime_ns)
        return [read_outcome(path) for path in sorted(newest.glob("*.outcome.json"))]

    def tracking(self) -> Tracking:
        """The record of the points."""
        from pipeline.sweep.tracking import Tracking

        return Tracking(self.folder, "sqlite:///mlflow.db", "programDE")

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))


def build(folder: Path, stages: dict[str, tuple[list[str], list[str], list[str]]]) -> Project:
    """A fake project, under DVC without git."""
    folder.mkdir()
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copy(ROOT / ".dvcignore", folder)
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    fake = folder / "fake"
    fake.mkdir()
    (fake / "__init__.py").touch()
    entries: dict[str, dict] = {
        "compose": {
            "cmd": "python -m pipeline.stages compose",
            "deps": ["conf"],
            "outs": [
                {"params.yaml": {"cache": False, "persist": True}},
                {"data/inputs": {"cache": False, "persist": True}},
            ],
        }
    }
    for name, (reads, writes, params) in stages.items():
        code = FAKE_STAGE.format(name=name, reads=reads, writes=writes, metrics=METRICS_JSON)
        (fake / f"{name}.py").write_text(code)
        entries[name] = {
            "cmd": f"python -m fake.{name} --params params.yaml",
            "deps": [*reads, f"fake/{name}.py"],
            "params": params,
            "outs": [path for path in writes if not path.endswith(".json")],
        }
        metrics = [path for path in writes if path.endswith(".json")]
        if metrics:
            entries[name]["metrics"] = metrics
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": entries}, sort_keys=False))
    return Project(folder)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fake project with all stages."""
    return build(tmp_path / "project", STAGES)


@pytest.fixture(scope="session")
def empty_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; making one takes seconds."""
    from pipeline.sweep.tracking import Tracking

    folder = shared_folder(tmp_path_factory, "record")

    def make() -> None:
        tracking = Tracking(folder, "sqlite:///mlflow.db", "other")
        tracking.client.delete_experiment(tracking.experiment)

    return made_once(folder / "mlflow.db", make)


@pytest.fixture
def swept(tmp_path: Path, empty_record: Path) -> Project:
    """A fake project with three stages, for speed, and an empty record."""
    project = build(tmp_path / "project", SHORT)
    shutil.copy(empty_record, project.folder)
    return project
