"""What is used of Hydra, submitit and DVC beyond what they promise: still as it was taken to be.

Where one of these fails after an upgrade, pipeline/upstream.py is the file to change.
"""

from __future__ import annotations

import ast
import copy
import inspect
import json
import os
from collections import OrderedDict
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


@pytest.mark.slow
@pytest.mark.brief
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


@pytest.mark.slow
@pytest.mark.brief
def test_hydra_composes_the_same_from_a_shared_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it was given is as it was: a composition changes what it took, not the store."""
    from hydra import compose
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    store = ConfigStore.instance()

    def composed() -> tuple[str, str]:
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            config = compose("config", ["sampler=stratified", "sampler.n_bins=7", "seed=3"])
        given = OmegaConf.to_yaml(store._load("options/sampler/stratified_perm.yaml").node)
        return OmegaConf.to_yaml(config), given

    shared = composed()
    assert copy.deepcopy(store) is store
    monkeypatch.delattr(ConfigStore, "__deepcopy__")
    assert composed() == shared


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
            inner = OrderedDict(y=None, z=1e-9, w=True)  # such as DVC makes of a stage
            data["stages"]["second"] = OrderedDict(cmd=["a", "b"], x={"y": inner})

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


def test_a_lock_file_of_many_stages_is_dumped_stage_by_stage(tmp_path: Path) -> None:
    """What a stage had before is not dumped again, and the file is DVC's all the same."""
    from dvc import dvcfile

    plain, quick = tmp_path / "plain" / "dvc.lock", tmp_path / "quick" / "dvc.lock"

    def edits(file: Path) -> None:
        file.parent.mkdir()
        for number in range(3):
            with dvcfile.modify_yaml(str(file)) as data:
                data.setdefault("schema", "2.0")
                entry = {"cmd": "x", "deps": [{"path": f"a{number}", "size": number, "y": "yes"}]}
                data.setdefault("stages", {})[f"stage {number}"] = entry
        with dvcfile.modify_yaml(str(file)) as data:
            data["stages"]["stage 1"]["cmd"] = ["a long word " * 12, "1e-5"]
            del data["stages"]["stage 0"]

    edits(plain)
    with upstream.quick_lock_files():
        edits(quick)
    assert quick.read_bytes() == plain.read_bytes()
    with upstream.quick_lock_files(), dvcfile.modify_yaml(str(quick)) as data:
        data["stages"]["stage 1"]["cmd"] = "\u00e4 'b': c"  # which quotes it gets may differ
    with dvcfile.modify_yaml(str(quick)) as data:
        assert data["stages"]["stage 1"]["cmd"] == "\u00e4 'b': c"


def test_records_are_written_as_dvc_writes_them(tmp_path: Path) -> None:
    from dvc.utils import serialize

    entry = {"cmd": "x", "params": {"params.yaml": {"a": None, "b": 1e-6, "c": ["yes", "01"]}}}
    serialize.dump_yaml(str(tmp_path / "plain"), entry)
    with upstream.quick_lock_files():
        serialize.dump_yaml(str(tmp_path / "quick"), entry)
    assert (tmp_path / "quick").read_bytes() == (tmp_path / "plain").read_bytes()
    from dvc.stage import cache

    assert "from dvc.utils.serialize import dump_yaml" in inspect.getsource(cache.StageCache.save)


@pytest.mark.slow
@pytest.mark.brief
def test_dvc_sees_every_change_of_what_it_hashes_and_reads_once(tmp_path: Path) -> None:
    """A file of code, dvc.yaml and params.yaml, each changed between two looks."""
    from pipeline.sweep.repository import dvc_repository

    code, params, asked = tmp_path / "code.py", tmp_path / "params.yaml", tmp_path / "dvc.yaml"
    code.write_text("one")
    params.write_text("seed: 1\n")
    asked.write_text(
        "stages:\n  only:\n    cmd: cp code.py out\n    deps: [code.py]\n"
        "    params: [seed]\n    outs: [out]\n"
    )
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    with dvc_repository(tmp_path) as repo:
        assert repo.reproduce()
        assert not repo.reproduce()
        os.utime(code)  # other marks, same content
        assert not repo.reproduce()
        code.write_text("two")
        assert repo.reproduce()
        assert (tmp_path / "out").read_text() == "two"
        params.write_text("seed: 2\n")
        assert repo.reproduce()
        asked.write_text(asked.read_text().replace("cp code.py out", "cp code.py out ; true"))
        assert repo.reproduce()
        assert not repo.reproduce()


def test_whoever_else_works_there_is_seen(tmp_path: Path) -> None:
    from dvc import rwlock
    from dvc.fs import LocalFileSystem
    from dvc.lock import LockError

    def hold(cmd: str, read: list[str], write: list[str]) -> Any:
        return rwlock.rwlock(str(tmp_path), LocalFileSystem(), cmd, read, write, False)

    with upstream.quick_dvc():
        with hold("me", ["/a"], ["/b"]), hold("me", ["/b"], ["/a"]):
            pass
        other = {"pid": os.getppid(), "cmd": "other"}
        (tmp_path / "rwlock").write_text(json.dumps({"write": {"/b/c": other}}))
        with pytest.raises(LockError, match="'/b' is busy"), hold("me", ["/b"], []):
            pass
        with hold("me", ["/d"], []):
            pass
