"""Which cells a unit is compared with: control groups, batches, shared populations."""

from dataclasses import replace

import numpy as np
import pytest

from programde.crt.control_group import choose_control
from programde.crt.engine import Deferred, Later
from programde.crt.plan import plan
from programde.errors import InputError, OptionError
from programde.screen.cells import guides_per_cell, nt_only_cells
from tests.crt.small import screen_of


def tasks_of(*args, **options):
    found = [t.build() if isinstance(t, Deferred | Later) else t for t in plan(*args, **options)]
    return found


def cells_of(task, n):
    return np.arange(n) if task.population.cells is None else task.population.cells


def by_row(tasks):
    return {
        row: (task, name, treated)
        for task in tasks
        for row, name, treated in zip(task.places, task.names, task.treated, strict=True)
    }


def targets(screen):
    return [u for u in screen.target_units() if u.name != "NTC"]


def dense(screen):
    return screen.guides.toarray()


def test_cells_that_hold_only_control_guides():
    screen = screen_of(n=300, n_targets=4, n_ntc=4, share=0.3)
    presence = dense(screen)
    ntc = np.array([screen.guide_to_target[g] == "NTC" for g in screen.guide_names])
    np.testing.assert_array_equal(guides_per_cell(screen), presence.sum(axis=1))
    expected = presence[:, ntc].any(axis=1) & ~presence[:, ~ntc].any(axis=1)
    assert expected.any()
    np.testing.assert_array_equal(nt_only_cells(screen, ["NTC"]), expected)
    assert not nt_only_cells(screen, []).any()


def test_choice_of_the_control_group():
    many = screen_of(n=300, n_ntc=4, share=1.5)
    one = screen_of(n=300, n_ntc=4, one_guide=True)
    assert choose_control(many, "auto", ["NTC"]).kind == "complement"
    assert "holds" in choose_control(many, "auto", ["NTC"]).reason
    chosen = choose_control(one, "auto", ["NTC"])
    assert chosen.kind == "nt_cells"
    assert chosen.reason == (
        "chosen because the median perturbed cell holds 1 target, 0.0% of them several"
    )
    np.testing.assert_array_equal(chosen.cells, nt_only_cells(one, ["NTC"]))
    # without controls there is nothing to compare with but the rest
    assert choose_control(one, "auto", []).kind == "complement"
    for kind in ("complement", "nt_cells"):
        asked = choose_control(one, kind, ["NTC"])
        assert asked.kind == kind
        assert asked.reason.startswith("asked for")
    with pytest.raises(OptionError, match=r"control='nt_cell'.*nt_cells"):
        choose_control(one, "nt_cell", ["NTC"])


def with_presence(screen, presence):
    return replace(screen, guides=type(screen.guides)(presence.astype(np.int8)))


def test_no_control_cells():
    screen = screen_of(n=60, n_targets=3, n_ntc=2, one_guide=True)
    keep = ~nt_only_cells(screen, ["NTC"])
    screen = with_presence(screen, dense(screen) * keep[:, None])
    with pytest.raises(
        InputError, match=r"none of 60 cells holds only guides of NTC; .*complement"
    ):
        choose_control(screen, "nt_cells", ["NTC"])
    chosen = choose_control(screen, "auto", ["NTC"])
    assert (chosen.kind, chosen.cells) == ("complement", None)
    assert chosen.reason == "no cell holds only non-targeting guides"


def test_against_the_complement_all_units_share_all_cells():
    screen = screen_of(n=200, n_targets=5, n_ntc=2)
    units = targets(screen)
    tasks = tasks_of(screen, units, choose_control(screen, "complement", ["NTC"]))
    assert len(tasks) == 1
    assert tasks[0].population.cells is None
    assert tasks[0].places == [0, 1, 2, 3, 4]
    for row, (_, name, treated) in by_row(tasks).items():
        assert name == units[row].name
        np.testing.assert_array_equal(treated, screen.treated_cells(units[row]))


def test_against_control_cells_each_target_has_its_own():
    screen = screen_of(n=300, n_targets=4, n_ntc=4, one_guide=True)
    units = targets(screen)
    control = choose_control(screen, "nt_cells", ["NTC"])
    found = by_row(tasks_of(screen, units, control))
    assert sorted(found) == [0, 1, 2, 3]
    for row, (task, _, treated) in found.items():
        own = screen.treated_cells(units[row])
        np.testing.assert_array_equal(
            cells_of(task, 300), np.union1d(own, np.flatnonzero(control.cells))
        )
        np.testing.assert_array_equal(task.population.cells[treated], own)


def test_groups_of_control_guides_against_the_remaining_control_cells():
    screen = screen_of(n=300, n_targets=4, n_ntc=4, share=0.4)
    control = choose_control(screen, "nt_cells", ["NTC"])
    ntc = [g for g in screen.guide_names if screen.guide_to_target[g] == "NTC"]
    units = [screen.unit("a", ntc[:2]), screen.unit("b", ntc[2:])]
    tasks = tasks_of(screen, units, control, are_controls=True)
    assert len(tasks) == 1  # one population: the cells that hold control guides alone
    np.testing.assert_array_equal(tasks[0].population.cells, np.flatnonzero(control.cells))
    for row, (task, _, treated) in by_row(tasks).items():
        held = screen.treated_cells(units[row])
        np.testing.assert_array_equal(task.population.cells[treated], held[control.cells[held]])
    # against the complement a group is tested in all cells
    whole = tasks_of(
        screen, units, choose_control(screen, "complement", ["NTC"]), are_controls=True
    )
    assert whole[0].population.cells is None


@pytest.mark.parametrize("control", ["complement", "nt_cells"])
def test_batches_without_a_treated_cell_are_left_out(control):
    screen = screen_of(n=400, n_targets=3, n_ntc=4, n_batches=4, one_guide=True)
    presence = dense(screen)
    in_b0 = screen.batch == "B0"
    presence[in_b0 | (screen.batch == "B2"), 0:2] = 0  # target 0 is in B1 and B3 alone
    presence[:, 2:4] = 0  # target 1 has no cell at all
    screen = with_presence(screen, presence)
    units = targets(screen)
    group = choose_control(screen, control, ["NTC"])
    found = by_row(tasks_of(screen, units, group, drop_empty_batches=True))
    assert set(screen.batch[cells_of(found[0][0], 400)]) == {"B1", "B3"}
    assert set(screen.batch[cells_of(found[1][0], 400)]) == {"B0", "B1", "B2", "B3"}
    assert found[1][2].size == 0
    assert set(screen.batch[cells_of(found[2][0], 400)]) == {"B0", "B1", "B2", "B3"}
    for row in (0, 2):
        task, _, treated = found[row]
        np.testing.assert_array_equal(
            cells_of(task, 400)[treated], screen.treated_cells(units[row])
        )
    kept = by_row(tasks_of(screen, units, group))
    assert set(screen.batch[cells_of(kept[0][0], 400)]) == {"B0", "B1", "B2", "B3"}


def test_units_in_the_same_batches_share_a_population():
    screen = screen_of(n=300, n_targets=4, n_batches=3)
    presence = dense(screen)
    presence[screen.batch == "B0", 0:4] = 0
    screen = with_presence(screen, presence)
    group = choose_control(screen, "complement", [])
    tasks = tasks_of(screen, targets(screen), group, drop_empty_batches=True)
    assert sorted(tuple(task.places) for task in tasks) == [(0, 1), (2, 3)]


def test_some_of_the_cells():
    screen = screen_of(n=200, n_targets=3, n_ntc=3, one_guide=True)
    half = np.arange(200) % 2 == 0
    units = targets(screen)
    for kind in ("complement", "nt_cells"):
        group = choose_control(screen, kind, ["NTC"])
        found = by_row(tasks_of(screen, units, group, cells=half, first_row=10, suffix=" in even"))
        assert sorted(found) == [10, 11, 12]
        for row, (task, name, treated) in found.items():
            own = screen.treated_cells(units[row - 10])
            assert name == units[row - 10].name + " in even"
            assert half[task.population.cells].all()
            np.testing.assert_array_equal(task.population.cells[treated], own[half[own]])
    nobody = np.zeros(200, dtype=bool)
    empty = by_row(tasks_of(screen, units, group, cells=nobody))
    assert all(task.population.n_cells == 0 for task, _, _ in empty.values())
