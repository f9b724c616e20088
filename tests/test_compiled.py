"""Kernels on disk are renewed when anything they are made of changes."""

import importlib.util
from pathlib import Path

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
    monkeypatch.setattr(compiled, "kernels_stamp", lambda: "first")

    def hits_and_misses():
        kernel = load(path).double
        assert kernel(2.5) == 5.0
        stats = kernel.stats
        return sum(stats.cache_hits.values()), sum(stats.cache_misses.values())

    assert hits_and_misses() == (0, 1)
    assert hits_and_misses() == (1, 0)
    monkeypatch.setattr(compiled, "kernels_stamp", lambda: "second")
    assert hits_and_misses() == (0, 1)
    assert hits_and_misses() == (1, 0)
    assert load(path).plain(2) == 6


def test_every_file_that_holds_kernels_is_part_of_the_stamp():
    stamped = {path for pattern in compiled.KERNEL_FILES for path in ROOT.glob(pattern)}
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name == "compiled.py":
            continue
        mine = text.replace("from programde.compiled import njit", "")
        assert "import njit" not in mine, f"{path}: take njit from programde.compiled"
        if "njit" in text or "@intrinsic" in text:
            assert path in stamped, path


def test_the_stamp_follows_the_files(tmp_path, monkeypatch):
    kernels = tmp_path / "crt" / "kernels"
    kernels.mkdir(parents=True)
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    stamps = set()
    for content in ("a = 1", "a = 2", "a = 1"):
        (kernels / "one.py").write_text(content)
        stamps.add(compiled.kernels_stamp.__wrapped__())
    assert len(stamps) == 2
