"""What is used of Hydra, submitit and DVC beyond what they promise: still as it was taken to be.

Where one of these fails after an upgrade, pipeline/upstream.py is the file to change.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.errors import HydraException
from hydra.utils import get_class
from submitit.core.core import Job
from submitit.core.utils import UncompletedJobError

from pipeline import upstream
from pipeline.config.schema import register

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"

register()


def test_all_of_it_stands_in_one_file() -> None:
    """No other file imports a private module, or sets what belongs to another package."""
    private = ("_internal", "hydra.core.global_hydra", "override_parser.overrides_parser")
    beyond = {"stage_cache", "local_cache_dir", "_get_node", "_is_none"}
    for file in (ROOT / "pipeline").rglob("*.py"):
        if file.name == "upstream.py":
            continue
        nodes = list(ast.walk(ast.parse(file.read_text())))
        names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        names += [a.name for node in nodes if isinstance(node, ast.Import) for a in node.names]
        assert not [name for name in names if any(word in name for word in private)], file
        assert not beyond & {n.attr for n in nodes if isinstance(n, ast.Attribute)}, file


def test_the_grid_is_hydras_own() -> None:
    """The same points in the same order as the sweeper that it stands for."""
    sweeper = get_class(upstream.GRID)
    words = [
        "seed=1,2", "sampler=bernoulli,stratified", "side=left", "usage=glob(quantile*)",
        "n_resamples=range(10,40,10)", "+x=choice(a,b)", "data.ntc_labels=[a,b],[c]", "seed=3,4",
    ]  # fmt: skip
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        parsed = [upstream.parse_override(word) for word in words]
        assert None not in parsed
        ours = upstream.grid(parsed)  # type: ignore[arg-type]
        theirs = sweeper.split_arguments(parsed, None)[0]
    assert ours == theirs
    assert len(ours) == 2 * 2 * 3 * 3 * 2 * 2
    interval = upstream.parse_override("seed=interval(0,1)")
    assert interval is not None
    with pytest.raises(HydraException, match="list its values"):
        upstream.grid([interval])
    assert upstream.parse_override("a=[1") is None
    assert upstream.parse_override("=3") is None


def test_the_grid_is_hydras_default_sweeper() -> None:
    from hydra import compose

    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        config = compose("config", return_hydra_config=True)
    assert config.hydra.sweeper._target_ == upstream.GRID


def test_a_job_that_died_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def results(job: SimpleNamespace) -> list[str]:
        if job.state == "OUT_OF_MEMORY":
            raise UncompletedJobError("has not produced any output")
        if job.state == "FAILED":
            raise RuntimeError("a bug")
        return ["done"]

    def job(state: str) -> SimpleNamespace:
        return SimpleNamespace(job_id="7", state=state, paths=SimpleNamespace(folder="logs/7"))

    monkeypatch.setattr(Job, "results", results)
    with upstream.patient_collection() as died:
        assert Job.results(job("COMPLETED")) == ["done"]  # type: ignore[arg-type]
        stubs: list[Any] = Job.results(job("OUT_OF_MEMORY"))  # type: ignore[arg-type]
        _ = stubs[0].return_value  # what Hydra looks at
        with pytest.raises(RuntimeError):
            Job.results(job("FAILED"))  # type: ignore[arg-type]
    assert died == ["job 7 is OUT_OF_MEMORY, its log in logs/7"]
    assert Job.results is results


def test_hydra_collects_its_jobs_by_that_name() -> None:
    from hydra_plugins.hydra_submitit_launcher import submitit_launcher

    assert ".results()[0]" in inspect.getsource(submitit_launcher)


def test_dvc_fetches_records_by_that_name() -> None:
    from dvc.repo import reproduce
    from dvc.stage.cache import StageCache

    assert "stage_cache.pull(" in inspect.getsource(reproduce)
    assert list(inspect.signature(StageCache.push).parameters)[:2] == ["self", "remote"]
    assert list(inspect.signature(StageCache.get_used_objs).parameters)[:2] == [
        "self",
        "used_run_cache",
    ]


LOCKED = """\
schema: '2.0'
stages:
  first:
    cmd: python -c 1
    deps:
    - path: zä b.txt
      hash: md5
      md5: 900150983cd24fb0d6963f7d28e17f72
      size: 3
    params:
      params.yaml:
        analysis.pairs:
        usage.floor: 1e-06
        data:
          a: null and void
          b: 'yes'
          c:
          - NT
          - '01'
          d: {}
          e: 'a long sentence: it is folded where DVC folds it, at eighty letters or so,
            and : goes on'
"""


def test_a_lock_file_is_written_as_dvc_writes_it(tmp_path: Path) -> None:
    from dvc import dvcfile

    plain, quick = tmp_path / "plain" / "dvc.lock", tmp_path / "quick" / "dvc.lock"
    for file in (plain, quick):
        file.parent.mkdir()
        file.write_text(LOCKED, encoding="utf-8")

    def edit(file: Path) -> None:
        with dvcfile.modify_yaml(str(file)) as data:
            data["stages"]["second"] = {"cmd": ["a", "b"], "x": {"y": None, "z": 1e-9, "w": True}}

    edit(plain)
    theirs = dvcfile.modify_yaml
    with upstream.quick_lock_files():
        edit(quick)
        assert dvcfile.modify_yaml is not theirs
    assert dvcfile.modify_yaml is theirs
    assert quick.read_bytes() == plain.read_bytes()


def test_a_lock_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    from dvc import dvcfile

    file = tmp_path / "dvc.lock"
    file.write_text(LOCKED, encoding="utf-8")
    with (
        upstream.quick_lock_files(),
        pytest.raises(Exception, match="represent"),
        dvcfile.modify_yaml(str(file)) as data,
    ):
        data["stages"]["second"] = object()
    assert file.read_text(encoding="utf-8") == LOCKED
    assert [path.name for path in tmp_path.iterdir()] == ["dvc.lock"]
