"""Results written and read: everything equal, damage told in one line."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from programde.crt.control_group import ControlGroup
from programde.crt.engine import RunOptions, run_tasks
from programde.crt.null_summary import NullSummary
from programde.crt.plan import plan
from programde.crt.results import CRTResult, TreatmentProbability
from programde.crt.samplers import Bernoulli
from programde.crt.shifts import Shifts
from programde.crt.statistics import OLS
from programde.errors import InputError
from programde.tails.log_tails import LogTails
from tests.crt.small import screen_of


@pytest.fixture(scope="module")
def result():
    screen = screen_of(n=120, k=3, n_targets=3)
    units = screen.target_units()
    units[1] = type(units[1])("α/β 'quoted'", (), ())  # without cells, with a difficult name
    tasks = plan(screen, units, ControlGroup("complement", "", None))
    options = RunOptions(OLS(), Bernoulli(), n_resamples=29, progress=False)
    return run_tasks(tasks, [u.name for u in units], screen.program_names, options)


def assert_same(a, b):
    for item in fields(CRTResult):
        left, right = getattr(a, item.name), getattr(b, item.name)
        if item.name == "null":
            assert left.n_draws == right.n_draws
            for part in fields(NullSummary):
                left_part, right_part = getattr(left, part.name), getattr(right, part.name)
                np.testing.assert_array_equal(left_part, right_part)
                if part.name != "n_draws":
                    assert left_part.dtype == right_part.dtype
        elif isinstance(left, LogTails | TreatmentProbability | Shifts):
            for part in fields(left):
                left_part, right_part = getattr(left, part.name), getattr(right, part.name)
                np.testing.assert_array_equal(left_part, right_part)
                assert left_part.dtype == right_part.dtype
        elif isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
            assert left.dtype == right.dtype
        else:
            assert left == right


def test_what_is_written_is_read(result, tmp_path):
    result.save(tmp_path / "new" / "folder")
    again = CRTResult.load(tmp_path / "new" / "folder")
    assert_same(result, again)
    assert again.status[1] == "no treated cells"
    result.save(tmp_path / "new" / "folder")
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        "tests.json",
        "tests.npz",
    ]


def test_the_files_are_the_same_bytes_each_time(result, tmp_path):
    result.save(tmp_path / "a")
    result.save(tmp_path / "b")
    for name in ("tests.npz", "tests.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_damage_is_told_in_one_line(result, tmp_path):
    with pytest.raises(InputError, match="holds no readable test results"):
        CRTResult.load(tmp_path / "nothing")
    result.save(tmp_path)
    arrays, labels = tmp_path / "tests.npz", tmp_path / "tests.json"
    whole = arrays.read_bytes()
    for damaged in (b"", whole[:100], whole[: len(whole) // 2], whole[:-30], b"PK" + whole[5:]):
        arrays.write_bytes(damaged)
        with pytest.raises(InputError, match="holds no readable test results") as caught:
            CRTResult.load(tmp_path)
        assert "\n" not in str(caught.value)
    np.savez(arrays, effect=np.ones(3))
    with pytest.raises(InputError, match="holds no readable test results"):
        CRTResult.load(tmp_path)
    arrays.write_bytes(whole)
    text = labels.read_text(encoding="utf-8")
    for damaged in ("", text[:40], "[1, 2]", "{}"):
        labels.write_text(damaged, encoding="utf-8")
        with pytest.raises(InputError, match="holds no readable test results"):
            CRTResult.load(tmp_path)
    labels.write_text(text, encoding="utf-8")
    assert_same(result, CRTResult.load(tmp_path))


def test_a_result_without_tails_is_read_without_tails(result, tmp_path):
    bare = replace(result, tails=None, no_tails="not asked for")
    bare.save(tmp_path)
    again = CRTResult.load(tmp_path)
    assert again.tails is None
    assert_same(bare, again)


def test_results_of_another_version_are_refused(result, tmp_path):
    result.save(tmp_path)
    labels = json.loads((tmp_path / "tests.json").read_text(encoding="utf-8"))
    for other in (None, 1, 99):
        labels["format"] = other
        (tmp_path / "tests.json").write_text(json.dumps(labels), encoding="utf-8")
        with pytest.raises(InputError, match="another version of programDE; test again") as caught:
            CRTResult.load(tmp_path)
        assert "\n" not in str(caught.value)


def test_probabilities_of_treatment_are_those_of_the_law():
    screen = screen_of(n=150, k=3, n_targets=4, confounding=1.0)
    units = screen.target_units()
    p = np.random.default_rng(0).uniform(0.02, 1.0, 150) ** 0.02
    options = RunOptions(
        OLS(), Bernoulli(), n_resamples=0, progress=False, propensity=lambda C, x: p, min_treated=5,
        given="propensity",
    )  # fmt: skip
    tasks = plan(screen, units, ControlGroup("complement", "", None))
    found = run_tasks(tasks, [u.name for u in units], screen.program_names, options)
    tested = np.array(found.status) == ""
    assert tested.any()
    np.testing.assert_allclose(found.probability.lowest[tested], p.min())
    np.testing.assert_allclose(found.probability.highest[tested], min(p.max(), 1 - 1e-6))
    assert (found.probability.n_certain[tested] == (p > 0.999).sum()).all()
    assert 0 < (p > 0.999).sum() < 150
