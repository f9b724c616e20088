"""Every name of the original: there, with its parameters in order, their kinds and defaults."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
from pathlib import Path

import pytest

import programde
from programde import compat

LINES = [
    line
    for line in Path(__file__).with_name("original_signatures.txt").read_text().splitlines()
    if not line.startswith("#")
]
CLASSES = dict(
    line.removeprefix("class ").split(": ") for line in LINES if line.startswith("class ")
)
CONSTANTS = [line.removeprefix("constant ") for line in LINES if line.startswith("constant ")]
FUNCTIONS = [line for line in LINES if not line.startswith(("class ", "constant "))]
NAMES = [*CLASSES, *CONSTANTS, *(line.split("(")[0] for line in FUNCTIONS)]
#: A default that is a function, whichever.
FUNCTION = object()


def default_of(node: ast.expr) -> object:
    value = ast.literal_eval(node)
    return FUNCTION if value is ... else value


def parameters_of(line: str) -> list[tuple[str, object, object]]:
    """(name, kind, default) of each parameter of a line of the stored page."""
    (definition,) = ast.parse(f"def {line}: pass").body
    given = definition.args
    empty, P = inspect.Parameter.empty, inspect.Parameter
    n_plain = len(given.args) - len(given.defaults)
    defaults = [empty] * n_plain + [default_of(node) for node in given.defaults]
    found = [(a.arg, P.POSITIONAL_OR_KEYWORD, d) for a, d in zip(given.args, defaults, strict=True)]
    for a, node in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        found.append((a.arg, P.KEYWORD_ONLY, empty if node is None else default_of(node)))
    if given.kwarg:
        found.append((given.kwarg.arg, P.VAR_KEYWORD, empty))
    return found


def test_the_page_is_whole():
    assert len(NAMES) == len(set(NAMES)) == 73
    assert sorted(compat.__all__) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_both_places_have_the_name(name):
    here, there = getattr(programde, name), getattr(compat, name)
    assert here is there
    assert name in programde.__all__
    assert name in CONSTANTS or (here.__doc__ or "").strip()


@pytest.mark.parametrize("line", FUNCTIONS, ids=lambda line: line.split("(")[0])
def test_parameters_are_those_of_the_original(line):
    """Further parameters come by keyword alone, and are not needed."""
    ours = list(inspect.signature(getattr(compat, line.split("(")[0])).parameters.values())
    theirs = parameters_of(line)
    by_name = {p.name: p for p in ours}
    positional = [p.name for p in ours if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [n for n, kind, _ in theirs if kind is ours[0].POSITIONAL_OR_KEYWORD]
    for name, kind, default in theirs:
        assert by_name[name].kind is kind, name
        if default is FUNCTION:
            assert callable(by_name[name].default), name
        elif default is inspect.Parameter.empty:
            assert by_name[name].default is default, name
        else:
            assert by_name[name].default == default, name
            assert type(by_name[name].default) is type(default), name
    for p in ours:
        if p.name not in {name for name, _, _ in theirs}:
            assert p.kind is p.VAR_KEYWORD or p.default is not p.empty, p.name


@pytest.mark.parametrize("name", CLASSES)
def test_fields_are_those_of_the_original(name):
    """In their order; further fields follow, and have defaults."""
    fields = dataclasses.fields(getattr(compat, name))
    theirs = CLASSES[name].split(", ")
    assert [field.name for field in fields][: len(theirs)] == theirs
    for field in fields[len(theirs) :]:
        assert (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )


def test_limiting_threads_sets_their_variables(monkeypatch):
    for name in compat.THREAD_ENV_VARS:
        monkeypatch.setenv(name, "7")
    monkeypatch.setattr("programde.threads._LIMITS", [])
    compat.limit_threading(1)
    assert "OMP_NUM_THREADS" in compat.THREAD_ENV_VARS
    assert {os.environ[name] for name in compat.THREAD_ENV_VARS} == {"1"}
