"""conf/ and the library's option classes agree: in every key, and in every default."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.schema import KINDS, ROOT, SECTIONS, Section, default_of
from programde.analysis.ntc_groups import run_ntc_groups
from programde.analysis.options import Comparison
from programde.analysis.tables import ADJUST
from programde.analysis.targets import run_targets
from programde.calibration.options import ADJUSTMENTS
from programde.controls.options import GroupOptions
from programde.io import SOURCES
from programde.io.options import SOURCE_OPTIONS
from programde.option_fields import REQUIRED, specs
from programde.screen.covariates import encode_covariates
from programde.screen.options import CovariateOptions

CONF = Path(__file__).parents[2] / "conf"

#: Files that are there for the sake of a value of their own.
NAMED = {
    ("usage", "quantile_1e-5"): {"eps_quantile"},
    ("usage", "quantile_1e-6"): {"eps_quantile"},
    ("sampler", "stratified_burden"): {"burden_key"},
    ("usage", "fixed"): {"eps"},  # the class asks for it
    ("usage", "fixed_1e-3"): {"eps"},
    ("usage", "fixed_1e-2"): {"eps"},
    ("usage", "share_0.1"): {"share_of_mean"},
    ("usage", "hellinger"): {"transform"},
    ("usage", "arcsine"): {"transform"},
    ("usage", "scores"): {"transform"},
}


def written(section: Section, tree: dict[str, Any], prefix: str = "") -> Iterator[tuple]:
    """(key, value in conf/, default of the class) of every value that conf/ writes."""
    for key, value in tree.items():
        spec = section.keys.get(key)
        if isinstance(spec, Section):
            yield from written(spec, value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value, None if spec is None else default_of(spec)


def number(value: Any) -> Any:
    """YAML 1.1 reads 1e-6 as text; Hydra as a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def files() -> list[tuple[str, str]]:
    """Every file of conf/ that picks a kind."""
    return [(group, path.stem) for group in KINDS for path in sorted((CONF / group).glob("*.yaml"))]


@pytest.mark.parametrize(("group", "name"), files())
def test_files_say_what_the_classes_say(group: str, name: str) -> None:
    tree = yaml.safe_load((CONF / group / f"{name}.yaml").read_text())
    first = tree.pop("defaults")[0]
    while not first.startswith("/options/"):
        parent = yaml.safe_load((CONF / group / f"{first}.yaml").read_text())
        first = parent["defaults"][0]
    kind = first.removesuffix("@_here_").split("/")[-1]
    for key, value, default in written(KINDS[group][kind], tree):
        assert (number(value) == default) is not (key in NAMED.get((group, name), set())), key


def test_the_root_says_what_the_classes_say() -> None:
    tree = yaml.safe_load((CONF / "config.yaml").read_text())
    for name, section in SECTIONS.items():
        if name == "compute":
            continue
        pairs = list(written(section, tree[name]))
        assert {key for key, *_ in pairs} == set(leaves(section)), name
        for key, value, default in pairs:
            assert value == default, f"{name}.{key}"
    for key, spec in ROOT.items():
        assert tree[key] == default_of(spec), key


def leaves(section: Section, prefix: str = "") -> Iterator[str]:
    for key, spec in section.keys.items():
        if isinstance(spec, Section):
            yield from leaves(spec, f"{prefix}{key}.")
        else:
            yield prefix + key


def test_all_cores_are_the_pipelines_one_other_default() -> None:
    """A machine given to the pipeline is used whole; a function takes one thread unless asked."""
    local = yaml.safe_load((CONF / "compute/local.yaml").read_text())
    assert local == {"n_jobs": None, "memory": None}


@pytest.mark.parametrize(
    ("function", "cls"),
    [
        (run_targets, Comparison),
        (run_ntc_groups, GroupOptions),
        (run_ntc_groups, Comparison),
        (encode_covariates, CovariateOptions),
    ],
)
def test_keyword_arguments_have_the_defaults_of_their_class(function: Any, cls: type) -> None:
    known = specs(cls)
    arguments = inspect.signature(function).parameters
    shared = [name for name in known if name in arguments]
    assert len(shared) >= 3
    for name in shared:
        assert arguments[name].default == known[name].default, name


def test_words_are_those_of_the_registries() -> None:
    assert set(ADJUSTMENTS) == set(ADJUST)
    assert set(SOURCE_OPTIONS) == {*SOURCES, "synthetic"}


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if kind in SOURCE_OPTIONS])
def test_a_source_takes_what_its_class_holds(kind: str) -> None:
    """Every key of a source is an argument of its reader, or of what makes screens."""
    from pipeline.stages.prepare import BESIDE_THE_SCREEN
    from programde.io import READERS
    from programde.screen.build import BUILD_OPTIONS

    reader = READERS[kind]
    module = inspect.getmodule(reader)
    taken = {*inspect.signature(reader).parameters, *BUILD_OPTIONS, *BESIDE_THE_SCREEN}
    taken |= set(getattr(module, "DEFAULT_KEYS", ()))
    if kind == "cnmf":  # the rest goes to the reader of the file with the guides
        from programde.io import anndata, mudata

        taken |= {*anndata.DEFAULT_KEYS, *mudata.DEFAULT_KEYS}
    assert set(specs(SOURCE_OPTIONS[kind])) <= taken


@pytest.mark.parametrize("section", [*SECTIONS, *(f"{g}.{k}" for g in KINDS for k in KINDS[g])])
def test_every_default_is_allowed(section: str) -> None:
    name, _, kind = section.partition(".")

    def walk(part: Section) -> None:
        for spec in part.keys.values():
            if isinstance(spec, Section):
                walk(spec)
            elif spec.default is not REQUIRED:
                spec.check(spec.default)

    walk(KINDS[name][kind] if kind else SECTIONS[name])


def test_every_option_class_checks_itself() -> None:
    """None is made with a value of the wrong type."""

    class Wrong:
        pass

    for section in [
        *SECTIONS.values(),
        *(one for kinds in KINDS.values() for one in kinds.values()),
    ]:
        cls = section.target
        if cls is None or not dataclasses.fields(cls):
            continue
        spec = next((s for s in specs(cls).values() if s.kinds or s.items), None)
        if spec is not None:
            needed = {
                n: "x" if n != "k" else 3 for n, s in specs(cls).items() if s.default is REQUIRED
            }
            with pytest.raises(ValueError, match=f"{spec.name}="):
                cls(**{**needed, spec.name: Wrong()})
