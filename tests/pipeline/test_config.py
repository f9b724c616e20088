"""conf/ composes; every wrong key or value is one line that says what is allowed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.explain import compose_config, explain, refuse_words
from pipeline.config.params import select
from pipeline.config.resolve import FOLDERS, _paths_of, resolve
from pipeline.config.schema import register
from pipeline.files import parse_yaml
from programde.errors import ProgramDEError

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"

register()


def complaint(*overrides: str) -> str:
    """What the user reads for a wrong command line."""
    try:
        refuse_words(overrides, CONF)
        resolve(compose_config(CONF, overrides))
    except ProgramDEError as error:
        return str(error)
    except (HydraException, OmegaConfBaseException) as error:
        return explain(error, overrides, CONF)
    raise AssertionError(f"{overrides} were accepted")


def choices() -> list[str]:
    """Every file of every folder of conf/, as the override that picks it."""
    folders = [folder for folder in CONF.iterdir() if folder.is_dir() and folder.name != "hydra"]
    return sorted(f"{f.name}={p.stem}" for f in folders for p in f.glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("choice", choices())
def test_every_choice_composes(
    choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if choice == "experiment=best_power":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="an extra: optuna")
    monkeypatch.chdir(tmp_path)
    inputs = []
    group, _, _ = choice.partition("=")
    if group == "data":
        kind = compose_config(CONF, [choice]).data.kind
        for key in _paths_of(kind):
            if key == "out_dir":
                there = tmp_path / "run" / "Inference" / "adata" / "cNMF_5_0_5.h5mu"
                there.parent.mkdir(parents=True)
                there.write_text("content")
                inputs += [f"data.out_dir={tmp_path}", "data.run_name=run", "data.k=5"]
            elif key in FOLDERS:
                (tmp_path / "a.usages.k_5.dt_0_5.consensus.txt").write_text("content")
                (tmp_path / "cells_D1.h5ad").write_text("content")
                inputs += [f"data.folder={tmp_path}", "data.k=5"]
                inputs += ["data.day=D1"] if kind == "folder" else []
            else:
                (tmp_path / key).write_text("content")
                inputs.append(f"data.{key}={tmp_path / key}")
    params = resolve(compose_config(CONF, [choice, *inputs]))
    assert parse_yaml(yaml.safe_dump(params)) == params


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["sampler=bernuli"], ["sampler=bernuli", "did you mean 'bernoulli'", "stratified"]),
        (["n_resamples=abc"], ["n_resamples=abc", "'abc'", "whole number"]),
        (["n_resamples=-1"], ["n_resamples=-1", ">= 0"]),
        (
            ["n_resamples=0", "calibrate=skew_normal"],
            ["n_resamples=0", "skew_normal", ">= 1"],
        ),
        (["usage.eps_quantil=1"], ["usage.eps_quantil ", "did you mean 'usage.eps_quantile'"]),
        (["usage.eps_quantile=3"], ["usage.eps_quantile=3", ">= 0 and < 1"]),
        (["usage.eps_quantile=abc"], ["usage.eps_quantile=abc", "must be a number >= 0"]),
        (["samplr=ols"], ["samplr is not a key", "did you mean 'sampler'", "data"]),
        (["a=[1"], ["'a=[1' cannot be read", "key=value"]),
        (["data=h5ad"], ["data.path has no value", "data.path=..."]),
        (["data=h5ad", "data.path=/no/such.h5ad"], ["data.path=/no/such.h5ad", "does not exist"]),
        (["side=up"], ["side=up", "both, left, right"]),
        (["test=utest", "test.use=foo"], ["test.use=foo", "clr, usage"]),
        (["sampler=stratified", "sampler.n_bins=2.5"], ["sampler.n_bins=2.5", "whole number >= 1"]),
        (["sampler=stratified", "sampler.n_bins=0"], ["sampler.n_bins=0", ">= 1"]),
        (
            ["sampler=stratified", "sampler.burden_clip_quantiles=[0.9,0.1]"],
            ["sampler.burden_clip_quantiles=[0.9, 0.1]", "two rising numbers"],
        ),
        (["sampler.n_bins=3"], ["sampler.n_bins is not a key of sampler=bernoulli", "valid"]),
        (
            ["sampler.kind=stratified_perm"],
            ["sampler.kind=stratified_perm lacks", "sampler=NAME"],
        ),
        (["+foo=1"], ["foo is not a key", "valid: data"]),
        (["+sampler.foo=1"], ["sampler.foo is not a key", "valid: kind"]),
        (["~seed"], ["seed has no value"]),
        (["data.ntc_labels=[]"], ["data.ntc_labels=[]", "name at least one"]),
        (["experiment=qick"], ["experiment=qick", "did you mean 'quick'"]),
        (
            ["calibrate=ntc_empirical", "calibrate.matching.n_d_bins=0"],
            ["matching.n_d_bins=0", ">= 1"],
        ),
        (["analysis.by_condition=true"], ["data.condition_key"]),
        (
            ["calibrate=ntc_empirical", "data.condition_key=day", "analysis.by_condition=true"],
            ["analysis.by_condition=True", "calibrate=ntc_empirical", "saddlepoint"],
        ),
        (["calibrate=ntc_empirical", "analysis.unit=guide"], ["analysis.unit=guide"]),
        (["calibrate=ntc_empirical", "side=left"], ["side=left", "two-sided"]),
        (["calibrate=ntc_empirical", "test=utest"], ["test=utest", "least-squares", "test=ols"]),
        (
            ["calibrate=ntc_empirical", "analysis.control=nt_cells"],
            ["analysis.control=nt_cells", "all other cells", "complement"],
        ),
        (["covariates.standardize=maybe"], ["covariates.standardize=maybe", "true or false"]),
        (["fdr.level=1.5"], ["fdr.level=1.5", "> 0 and < 1"]),
        (["fdr.level=nan"], ["fdr.level=", "> 0 and < 1"]),
        (["seed=${no_such_key}"], ["seed", "no_such_key"]),
    ],
)
def test_one_line_names_key_value_and_cure(overrides: list[str], said: list[str]) -> None:
    line = complaint(*overrides)
    assert "\n" not in line
    for words in said:
        assert words in line


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["analysis=null"], "analysis=None is not allowed: it is a section; set its keys"),
        (["controls.units=null"], "controls.units=None is not allowed: it is a section"),
        (["tracking=null"], "set its keys (tracking.uri, tracking.experiment), or leave it out"),
        (["fdr=[1]"], "fdr=[1] is not allowed: it is a section"),
        (["sampler=null"], "sampler=null is not allowed: choose one; valid: bernoulli"),
        (["experiment=null"], "experiment=null is not allowed: choose one"),
        (["data=[h5ad,h5mu]"], "data=['h5ad', 'h5mu'] is not allowed: choose one"),
        (["experiment=[quick,foo]"], "experiment=foo is not known"),
        (["tracking.uril=x"], "tracking.uril is not a key; did you mean 'tracking.uri'"),
        (["+tracking.foo=1"], "tracking.foo is not a key"),
        (["tracking.uri="], "tracking.uri='' is not allowed: it is empty"),
        (["fdr={adjst: bh}"], "fdr.adjst is not a key; did you mean 'fdr.adjust'"),
        (["fdr.level.x=3"], "fdr.level.x is not a key"),
        (["seed.x=1"], "seed.x is not a key: seed has none of its own"),
        (["analysis.targets.foo=1"], "analysis.targets.foo is not a key"),
        (["data=h5ad", "+data.covar_columns.x=3"], "data.covar_columns={'x': 3} is not allowed"),
        (["analysis.targets=[A,{b: 1}]"], "must be a list of entries, each text, or None"),
        (["analysis.targets=[]"], "analysis.targets=[] leaves nothing to test"),
        (["analysis.exclude_guides=[null]"], "analysis.exclude_guides=[None] is not allowed"),
        (["analysis.exclude_guides=['']"], "an entry is empty"),
        (["sampler=stratified", "sampler.burden_clip_quantiles=0.5"], "a list of 2 entries"),
        (["hydra.foo=1"], "hydra.foo is not a key"),
        (["+hydra.foo=1"], "hydra.foo is not a key"),
        (["sampler._target_=os.system"], "sampler._target_ is not a key"),
        (["++fdr._target_=os.system"], "fdr._target_ is not a key"),
        (["point=x"], "point=x is not allowed"),
        (["+inputs.path=x"], "inputs={'path': 'x'} is not allowed"),
        (["+sampler@extra=bernoulli"], "extra is not a key"),
        (["calibrate=ntc_empirical", "calibrate.matching=null"], "calibrate.matching=None is not"),
        (["usage=fixed", "usage.eps=null"], "must be given where kind=fixed"),
        (["seed=${side}"], "must be a whole number, not the text 'both'"),
        (["=3"], "'=3' cannot be read"),
        (["n_resamples=true"], "n_resamples=True is not allowed: must be a whole number >= 0"),
        (["data.N=1000000000"], "out of range: must be >= 50 and <= 100,000,000"),
    ],
)
def test_a_word_that_names_nothing_is_refused(overrides: list[str], said: str) -> None:
    line = complaint(*overrides)
    assert "\n" not in line
    assert said in line


@pytest.mark.parametrize("launcher", ["basic", "joblib", "slurm", "submitit_slurm"])
def test_launchers_compose(launcher: str) -> None:
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        config = compose(
            "config", overrides=[f"hydra/launcher={launcher}"], return_hydra_config=True
        )
    name = launcher.removeprefix("submitit_").capitalize() + "Launcher"
    assert config.hydra.launcher._target_.endswith(name)


def test_params_are_those_of_conf() -> None:
    """The params.yaml in the repository is the one that `dvc repro` would write."""
    params = resolve(compose_config(CONF, []))
    assert parse_yaml((ROOT / "params.yaml").read_text()) == params


@pytest.mark.slow
@pytest.mark.brief
def test_inputs_are_known_by_content_not_by_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = tmp_path / "a.h5ad", tmp_path / "b.h5ad"
    first.write_bytes(b"same")
    second.write_bytes(b"same")
    params = [
        resolve(compose_config(CONF, ["data=h5ad", f"data.path={p}"])) for p in (first, second)
    ]
    assert params[0]["data"] == params[1]["data"]
    assert "path" not in params[0]["data"]
    assert params[0]["inputs"] == {"path": str(first)}
    second.write_bytes(b"else")
    other = resolve(compose_config(CONF, ["data=h5ad", f"data.path={second}"]))
    assert other["data"]["fingerprint"] != params[0]["data"]["fingerprint"]


@pytest.mark.slow
@pytest.mark.brief
def test_of_a_folder_the_file_that_is_read_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "screen.h5ad").write_text("content")

    def mark() -> str:
        words = ["data=cnmf", "data.folder=.", "data.screen=screen.h5ad", "data.k=5"]
        return str(resolve(compose_config(CONF, words))["data"]["fingerprint"]["folder"])

    with pytest.raises(ProgramDEError, match="k=5"):
        mark()
    usages = tmp_path / "a.usages.k_5.dt_0_5.consensus.txt"
    usages.write_text("1")
    first = mark()
    (tmp_path / "a.usages.k_6.dt_0_5.consensus.txt").write_text("2")
    assert mark() == first
    usages.write_text("3")
    assert mark() != first
    usages.write_text("1")
    assert mark() == first


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("kind", ["gene_spectra_score", "gene_spectra_tpm"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_the_spectra_beside_a_cnmf_run_are_read_and_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, packed: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "screen.h5ad").write_text("content")
    (tmp_path / "a.usages.k_5.dt_0_5.consensus.txt").write_text("1")

    def mark() -> str:
        words = ["data=cnmf", "data.folder=.", "data.screen=screen.h5ad", "data.k=5"]
        return str(resolve(compose_config(CONF, words))["data"]["fingerprint"]["folder"])

    seen = [mark()]
    spectra = tmp_path / f"a.{kind}.k_5.dt_0_5.txt{packed}"
    for content in ("1", "22"):
        spectra.write_text(content)
        seen.append(mark())
    (tmp_path / f"a.{kind}.k_6.dt_0_5.txt").write_text("another K")
    assert mark() == seen[-1]
    assert len(set(seen)) == 3


def test_a_folder_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "data.path=/ is a folder" in complaint("data=h5ad", "data.path=/")


def test_select_takes_dotted_keys() -> None:
    params = {"a": {"b": 1, "c": 2}, "d": 3}
    assert select(params, ["a.b", "d"]) == {"a": {"b": 1}, "d": 3}
    with pytest.raises(KeyError):
        select(params, ["a.x"])


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("config", "sampler: bernoulli", "sampler: bernuli", "sampler: bernuli is not known; did "
         "you mean 'bernoulli'? valid: bernoulli, stratified"),
        ("experiment/quick", "/data: synthetic", "/data: sintetic", "data: sintetic is not known; "
         "did you mean 'synthetic'?"),
    ],
)  # fmt: skip
def test_a_misspelt_choice_in_conf_is_a_line_with_its_file(
    file: str, before: str, after: str, said: str, tmp_path: Path
) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    path = conf / f"{file}.yaml"
    path.write_text(path.read_text().replace(before, after))
    words = ["experiment=quick"]
    with pytest.raises(HydraException) as raised:
        compose_config(conf, words)
    line = explain(raised.value, words, conf)
    assert line.startswith(f"conf/{file}.yaml: {said}")
    assert "\n" not in line
