"""Every public name is documented in numpy's form, and what its examples show is what comes out."""

from __future__ import annotations

import doctest
import importlib

import pytest

import programde as pde

ROOMS = ("io", "tl", "pl", "get")
#: Public names, as a user writes them after `programde.`.
PUBLIC = [
    *sorted(name for name in pde.__all__ if callable(getattr(pde, name))),
    *(f"{room}.{name}" for room in ROOMS for name in getattr(pde, room).__all__),
]
#: What numpydoc asks for and this house does not. Types stand in the signatures, where mypy holds
#: them; a summary may name a thing, or ask; a description may begin with a symbol.
NOT_ASKED = {"ES01", "PR04", "PR08", "RT04", "SA01", "SS03", "SS05"}
#: Readers of folders that a lab's program writes: too much for an example.
WITHOUT_EXAMPLE = {"io.read_folder", "io.read_perturbnmf"}


def public(name: str) -> object:
    found: object = pde
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_a_docstring_is_whole(name: str) -> None:
    validate = pytest.importorskip("numpydoc.validate")
    said = validate.validate(f"programde.{name}")
    left_out = {"EX01"} if name in WITHOUT_EXAMPLE else set()
    documented = {field for group in _attributes(public(name)) for field in group}
    errors = [
        f"{code}: {message}"
        for code, message in said["errors"]
        if code not in NOT_ASKED | left_out
        and not (code == "PR01" and set(_fields(public(name))) <= documented)
    ]
    assert not errors, f"{said['file']}:{said['file_line']}"


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("name", sorted(set(PUBLIC) - WITHOUT_EXAMPLE))
def test_examples_run(name: str) -> None:
    """As a reader would paste them: nothing but what they import is at hand."""
    tests = doctest.DocTestFinder(recurse=False).find(public(name), name, globs={})
    runner = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST)
    for test in tests:
        runner.run(test)
    assert runner.summarize(verbose=False).attempted
    assert not runner.summarize(verbose=False).failed


def test_what_is_public_is_named() -> None:
    for room in ROOMS:
        module = importlib.import_module(f"programde.{room}")
        assert sorted(module.__all__) == module.__all__
        assert set(module.__all__) <= set(dir(module))


def _fields(found: object) -> tuple[str, ...]:
    return tuple(getattr(found, "__dataclass_fields__", ()))


def _attributes(found: object) -> list[list[str]]:
    """What a dataclass tells of its fields under Attributes, which is as good."""
    docscrape = pytest.importorskip("numpydoc.docscrape")
    listed = docscrape.NumpyDocString(getattr(found, "__doc__", "") or "")["Attributes"]
    return [[name.strip() for name in one.name.split(",")] for one in listed]
