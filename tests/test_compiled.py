"""Kernels on disk are renewed when anything they are made of changes."""

import importlib
import importlib.util
from pathlib import Path

from numba.core.registry import CPUDispatcher

import programde
from programde import compiled

ROOT = Path(programde.__file__).parent

SOURCE = """
from programde.compiled import njit

@njit(cache=True)
def double(x):
    return x + x

@njit
def plain(x):
    return x * 3
"""


def load(path):
    spec = importlib.util.spec_from_file_location("kernel_for_a_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_kernel_is_read_from_disk_until_some_kernel_file_changes(tmp_path, monkeypatch):
    path = tmp_path / "kernel_for_a_test.py"
    path.write_text(SOURCE, encoding="utf-8")
    monkeypatch.setattr(compiled, "kernels_stamp", lambda path: "first")

    def hits_and_misses():
        kernel = load(path).double
        assert kernel(2.5) == 5.0
        stats = kernel.stats
        return sum(stats.cache_hits.values()), sum(stats.cache_misses.values())

    assert hits_and_misses() == (0, 1)
    assert hits_and_misses() == (1, 0)
    monkeypatch.setattr(compiled, "kernels_stamp", lambda path: "second")
    assert hits_and_misses() == (0, 1)
    assert hits_and_misses() == (1, 0)
    assert load(path).plain(2) == 6


def test_kernels_are_made_by_our_njit_alone():
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        mine = text.replace("from programde.compiled import njit", "")
        if path.name != "compiled.py":
            assert "import njit" not in mine, f"{path}: take njit from programde.compiled"
            assert ("@njit" in text) == (compiled.MARK in text), path


def test_a_kernel_is_stamped_with_the_kernels_that_it_calls():
    sums = ROOT / "crt" / "kernels" / "sums.py"
    files = {path.name for path in compiled.kernel_files(sums)}
    assert {"sums.py", "random_numbers.py", "rows.py"} <= files
    assert "logistic.py" not in files
    tests = compiled.kernel_files(ROOT / "tails" / "conditional_tests.py")
    assert "conditional_kernels.py" in {path.name for path in tests}  # by a relative import
    for path in ROOT.rglob("*.py"):  # through files without kernels none is reached
        if compiled.MARK in path.read_text(encoding="utf-8") and path.name != "compiled.py":
            for file in compiled.kernel_files(path):
                assert compiled.MARK in file.read_text(encoding="utf-8")


def test_the_stamp_follows_the_files(tmp_path, monkeypatch):
    kernels = tmp_path / "crt" / "kernels"
    kernels.mkdir(parents=True)
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    caller, called = kernels / "one.py", kernels / "two.py"
    caller.write_text("from programde.crt.kernels.two import add\nfrom numba import njit\n")
    stamps = set()
    for content in ("a = 1", "a = 2", "a = 1"):
        called.write_text(f"from numba import njit\n{content}")
        compiled.kernel_files.cache_clear()
        stamps.add(compiled.kernels_stamp.__wrapped__(caller))
    assert len(stamps) == 2


def all_kernels():
    found = set()
    for path in ROOT.rglob("*.py"):
        if compiled.MARK in path.read_text(encoding="utf-8") and path.name != "compiled.py":
            name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
            members = vars(importlib.import_module(name)).values()
            found |= {member for member in members if isinstance(member, CPUDispatcher)}
    return found


def called_by(kernel):
    names = kernel.py_func.__code__.co_names
    found = (kernel.py_func.__globals__.get(name) for name in names)
    return {other for other in found if isinstance(other, CPUDispatcher)}


def test_a_kernel_whose_sums_may_be_reordered_has_one_form_in_each_that_calls_it():
    # Otherwise the form depends on what this process has compiled or loaded before (compiled.py).
    kernels = all_kernels()
    assert len(kernels) > 100
    reordered = {kernel for kernel in kernels if kernel.targetoptions.get("fastmath")}
    while more := {k for k in kernels - reordered if called_by(k) & reordered}:
        reordered |= more
    for kernel in kernels:
        for part in called_by(kernel) & reordered:
            options = part.targetoptions
            inlined = options.get("forceinline") or options.get("inline") == "always"
            name = f"{part.py_func.__module__}.{part.py_func.__name__}"
            assert inlined, f"{name} is called by a kernel: add forceinline=True"
