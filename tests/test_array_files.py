"""An object as a file, its arrays beside it or where they lie: what comes back, what is refused."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import pytest

from programde import array_files
from programde.array_files import LARGE, read, write
from programde.errors import InputError, OptionError


@dataclass
class Pair:
    first: np.ndarray
    second: np.ndarray


def large(seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(100, LARGE // 400))


def test_arrays_in_memory_are_written_once(tmp_path):
    array = large()
    again = read(write(Pair(array, array.copy()), tmp_path))
    np.testing.assert_array_equal(again.first, array)
    np.testing.assert_array_equal(again.second, array)
    assert len(list(tmp_path.glob("*.array"))) == 1
    write(Pair(array, large(1)), tmp_path)
    assert len(list(tmp_path.glob("*.array"))) == 2
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("kind", ["labels", "two columns", "with a gap", "all different"])
def test_labels_of_many_cells_come_back(tmp_path, kind):
    labels = np.array(["day 1", "Tag 2", ""], dtype=object)[np.arange(LARGE) % 3]
    if kind == "two columns":
        labels = np.stack([labels, labels[::-1]])
    elif kind == "with a gap":
        labels[7] = None
    elif kind == "all different":
        labels = np.array([f"c{i}" for i in range(LARGE)], dtype=object)
    file = write(Pair(labels, large()), tmp_path)
    again = read(file).first
    assert again.dtype == object
    assert {type(value) for value in again.ravel()} == {type(value) for value in labels.ravel()}
    np.testing.assert_array_equal(again, labels)
    assert (file.stat().st_size < 10_000) == (kind in ("labels", "two columns"))


@pytest.mark.parametrize("lay", [np.ascontiguousarray, np.asfortranarray, lambda a: a[:, ::-1]])
def test_how_an_array_lies_is_kept(tmp_path, lay, monkeypatch):
    array = lay(large())
    for mapped in (array_files.MAPPED, 0):
        monkeypatch.setattr(array_files, "MAPPED", mapped)
        again = read(write(array, tmp_path))
        np.testing.assert_array_equal(again, array)
        assert again.flags.f_contiguous == array.flags.f_contiguous
        assert isinstance(again, np.memmap) is (mapped == 0)


def test_a_mapped_array_goes_as_its_path(tmp_path):
    array = large()
    np.save(tmp_path / "there.npy", array)
    mapped = np.load(tmp_path / "there.npy", mmap_mode="r")
    file = write(Pair(np.asarray(mapped), mapped[10:]), tmp_path / "sent")
    assert [path.name for path in (tmp_path / "sent").iterdir()] == [file.name]
    assert file.stat().st_size < 2000
    again = read(file)
    np.testing.assert_array_equal(again.first, array)
    np.testing.assert_array_equal(again.second, array[10:])


def test_another_file_in_its_place_is_refused(tmp_path):
    array = large()
    np.save(tmp_path / "there.npy", array)
    file = write(np.load(tmp_path / "there.npy", mmap_mode="r"), tmp_path / "sent")
    np.save(tmp_path / "there.npy", array + 1)
    with pytest.raises(InputError, match="is another file than where the run was started"):
        read(file)
    (tmp_path / "there.npy").unlink()
    with pytest.raises(InputError, match=r"there\.npy on .* is not there: the screen must lie on"):
        read(file)
    file.unlink()
    with pytest.raises(InputError, match=r"is not there on .* \(checkpoint=FOLDER\)"):
        read(file)


def test_what_does_not_pickle_is_named(tmp_path):
    for thing in (threading.Lock(), lambda: 1):
        with pytest.raises(
            OptionError, match=r"cannot be handed .*(lock|lambda).* must be defined"
        ):
            write([thing], tmp_path)
