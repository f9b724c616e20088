"""NTC groups: partitions that follow real targets' guide frequencies."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from programde.compat.ntc_partitions import make_ntc_groups_matched_by_freq
from programde.controls import groups as g
from programde.errors import InputError, OptionError, ProgramDEWarning
from programde.screen.screen import Screen


def toy_inputs(n_cells=2000, n_targets=10, per_target=6, n_ntc=30, seed=0, counts=False):
    rng = np.random.default_rng(seed)
    names = [f"t{t}_g{i}" for t in range(n_targets) for i in range(per_target)]
    names += [f"ntc{i}" for i in range(n_ntc)]
    mapping = {n: n.split("_")[0] for n in names if "_" in n}
    mapping |= {f"ntc{i}": "NTC" if i % 2 else "safe" for i in range(n_ntc)}
    frequency = rng.uniform(0.005, 0.05, size=len(names))
    present = rng.random((n_cells, len(names))) < frequency
    matrix = present * rng.integers(1, 9, size=present.shape) if counts else present
    return SimpleNamespace(
        G=sparse.csc_matrix(matrix.astype(np.int32)), guide_names=names, guide2gene=mapping
    )


def toy_screen(inputs):
    n = inputs.G.shape[0]
    return Screen(
        usage=np.full((n, 2), 0.5),
        clr=np.zeros((n, 2)),
        floor=0.1,
        covariates=np.ones((n, 1)),
        covariate_names=["intercept"],
        covariate_table=None,
        batch=None,
        guides=inputs.G,
        guide_names=inputs.guide_names,
        guide_to_target=inputs.guide2gene,
        program_names=["a", "b"],
        cell_names=[str(i) for i in range(n)],
    )


LABELS = ["NTC", "safe", "absent"]


def given(inputs, labels=LABELS, size=6):
    return g.group_inputs(inputs.G, inputs.guide_names, inputs.guide2gene, labels, size, 20)


def ensemble(inputs, n=4, seed=1, size=6, **kwargs):
    return g.partition_guides(given(inputs, LABELS, size), n, seed, size, **kwargs)


def test_frequency_is_presence_whatever_is_stored():
    matrix = sparse.csc_matrix(np.array([[3, 0, 0, 1], [1, 0, 0, 0], [0, 0, 2, 1]]))
    stored = matrix.copy()
    stored.data[0] = 0
    assert np.allclose(g.guide_frequencies(matrix), [2 / 3, 0, 1 / 3, 2 / 3])
    assert np.allclose(g.guide_frequencies(stored), [1 / 3, 0, 1 / 3, 2 / 3])
    assert np.allclose(g.guide_frequencies(matrix.toarray()), [2 / 3, 0, 1 / 3, 2 / 3])
    assert g.guide_frequencies(sparse.csc_matrix((5, 3))).tolist() == [0, 0, 0]


def test_counts_give_the_same_groups_as_presence():
    counted = toy_inputs(counts=True)
    present = SimpleNamespace(**vars(counted))
    present.G = (counted.G > 0).astype(np.int8)
    assert ensemble(counted) == ensemble(present)


def test_bins_have_no_gaps_and_keep_ties_together():
    bins = g.frequency_bins(np.array([0.1, 0.1, 0.1, 0.1, 0.5, 0.9]), 20)
    assert bins.tolist() == [0, 0, 0, 0, 1, 2]
    assert np.bincount(g.frequency_bins(np.arange(100.0), 10)).tolist() == [10] * 10


def test_signatures_have_one_bin_per_place():
    assert g.resized_signature([3, 1, 2], 3) == (1, 2, 3)
    assert g.resized_signature([3, 1], 4) == (1, 1, 3, 3)
    assert g.resized_signature(range(9), 3) == (1, 4, 7)
    ntc, freq, to_bin, signatures = given(toy_inputs(per_target=4))
    assert len(ntc) == 30
    assert len(signatures) == 10
    assert {len(s) for s in signatures} == {6}
    assert set(to_bin) == set(freq)


def test_a_partition_uses_each_guide_once():
    for drop, expected in ((True, 30), (False, 32)):
        for partition in ensemble(toy_inputs(n_ntc=32), drop_remainder=drop):
            members = [guide for group in partition.values() for guide in group]
            assert len(members) == len(set(members)) == expected
            assert sorted(map(len, partition.values()))[1:] == [6] * 5 if not drop else [6] * 4
            assert all(name == g.group_unit_name(group) for name, group in partition.items())


def test_partitions_depend_on_seed_and_number_alone():
    inputs = toy_inputs()
    four = ensemble(inputs, n=4)
    assert ensemble(inputs, n=2) == four[:2]
    assert ensemble(inputs, n=4, seed=2) != four
    assert len({tuple(sorted(p)) for p in four}) == 4
    built = given(inputs)
    turned = built._replace(ntc_guides=built.ntc_guides[::-1])
    assert g.partition_guides(turned, 1, 1, 6) == four[:1]
    matched = make_ntc_groups_matched_by_freq(built[0], built[1], built[3], built[2], seed=1)
    assert matched == four[0]


def test_groups_follow_signatures_exactly_where_guides_allow():
    guides = [f"n{i}" for i in range(8)]
    to_bin = dict(zip(guides, [0, 0, 0, 0, 5, 5, 5, 5], strict=True))
    made = g.GroupInputs(guides, dict.fromkeys(guides, 0.1), to_bin, [(0, 0), (5, 5)])
    for partition in g.partition_guides(made, 5, 0, 2):
        bins = sorted(tuple(to_bin[m] for m in members) for members in partition.values())
        assert bins == [(0, 0), (0, 0), (5, 5), (5, 5)]


def test_max_groups_keeps_the_best_matched_guides():
    guides = [f"n{i}" for i in range(12)]
    to_bin = dict(zip(guides, [0] * 6 + [9] * 6, strict=True))
    built = g.GroupInputs(guides, dict.fromkeys(guides, 0.1), to_bin, [(9, 9, 9)])
    made = g.partition_guides(built, 3, 0, 3, max_groups=2)
    assert all({to_bin[m] for group in p.values() for m in group} == {9} for p in made)


def test_too_few_guides_say_so():
    inputs = toy_inputs(n_ntc=4)
    with pytest.raises(InputError, match="4 NTC guides cannot fill one group of group_size=6"):
        ensemble(inputs)
    with pytest.warns(ProgramDEWarning, match="single group of 4"):
        made = ensemble(inputs, drop_remainder=False)
    assert [len(v) for v in made[0].values()] == [4]


@pytest.mark.parametrize(
    ("key", "value"), [("n", 0), ("size", 0), ("max_groups", 0)], ids=["n", "size", "max"]
)
def test_impossible_sizes(key, value):
    with pytest.raises(OptionError, match="must be at least 1"):
        ensemble(toy_inputs(), **{key: value})


def test_labels_that_match_nothing_are_listed():
    with pytest.raises(InputError, match=r"labels that exist: NTC, safe, t0"):
        given(toy_inputs(), "control")


def test_unseen_guides_are_left_out_and_named():
    inputs = toy_inputs()
    matrix = inputs.G.tolil()
    matrix[:, inputs.guide_names.index("ntc3")] = 0
    inputs.G = matrix.tocsc()
    with pytest.warns(ProgramDEWarning, match="1 NTC guides are in no cell.*ntc3"):
        ntc, freq, to_bin, _ = given(inputs)
    assert "ntc3" not in ntc
    assert freq["ntc3"] == 0
    assert "ntc3" not in to_bin


def test_names_depend_on_the_set_of_guides():
    assert g.group_unit_name(["b", "a", "a"]) == g.group_unit_name(["a", "b"])
    assert g.group_unit_name(["ab", "c"]) != g.group_unit_name(["a", "bc"])
    # stored value: a changed hash would change every control unit's random stream
    assert g.group_unit_name(["a", "b"]) == "ntc:b10b01aa3ed00e67"


def test_groups_of_a_screen_become_units_once():
    screen = toy_screen(toy_inputs(n_ntc=12, n_targets=2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        partitions = g.group_ntc_guides(screen, LABELS, n_partitions=30, seed=3)
    units = g.group_units(screen, partitions)
    assert len({u.name for u in units}) == len(units) == len({u.guides for u in units})
    assert len(units) < 60
    for unit in units:
        assert [screen.guide_names[c] for c in unit.columns] == list(unit.guides)


def test_default_group_size():
    assert g.default_group_size(toy_screen(toy_inputs()), LABELS) == 6
    assert g.default_group_size(toy_screen(toy_inputs(n_ntc=9)), LABELS) == 4
    assert g.default_group_size(toy_screen(toy_inputs(n_ntc=1)), "safe") == 1
    assert g.default_group_size(toy_screen(toy_inputs(n_ntc=9)), LABELS, min_groups=3) == 3
    assert g.default_group_size(toy_screen(toy_inputs(n_ntc=9)), LABELS, min_groups=20) == 1
