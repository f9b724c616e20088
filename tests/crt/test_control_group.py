"""Who is treated, who is control, and who is in neither group: counted by hand on small screens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from programde.crt.control_group import (
    Membership,
    choose_control,
    left_out_cells,
)
from programde.crt.engine import Deferred, Later
from programde.crt.plan import plan
from programde.errors import InputError, OptionError
from programde.screen.cells import guides_with_cells, nt_only_cells, targets_per_cell
from programde.screen.screen import Screen
from tests.crt.small import screen_of

#: Guides a1 a2 (target A), b1 (target B), n1 n2 (controls), u (no target); one row per cell.
GUIDES = ["a1", "a2", "b1", "n1", "n2", "u"]
TARGETS = {"a1": "A", "a2": "A", "b1": "B", "n1": "NTC", "n2": "NTC"}


def screen_with(rows: list[str], **changes: object) -> Screen:
    """A screen whose cells hold the guides that each row names, separated by blanks."""
    held = np.array([[guide in row.split() for guide in GUIDES] for row in rows], dtype=np.int8)
    blank = screen_of(n=len(rows), n_targets=2, n_ntc=2)
    return replace(
        blank,
        guides=sparse.csc_matrix(held),
        guide_names=list(GUIDES),
        guide_to_target=TARGETS,
        **changes,
    )


CELLS = ["a1 a2", "a1 n1", "a1 b1", "a2", "b1", "n1", "n1 n2", "u n1", "", "a2 b1"]


def populations(screen: Screen, units, control, **options):
    """Unit -> (cells of its population, its treated cells), as places in the screen."""
    found = {}
    for task in plan(screen, units, control, **options):
        task = task.build() if isinstance(task, Deferred | Later) else task
        cells = task.population.cells
        cells = np.arange(screen.n_cells) if cells is None else cells
        for name, treated in zip(task.names, task.treated, strict=True):
            found[name] = (cells.tolist(), cells[treated].tolist())
    return found


def test_targets_are_counted_not_guides():
    screen = screen_with(CELLS)
    assert targets_per_cell(screen, ["NTC"]).tolist() == [1, 1, 2, 1, 1, 0, 0, 0, 0, 2]
    only = np.flatnonzero(nt_only_cells(screen, ["NTC"])).tolist()
    assert only == [5, 6]  # however many controls; a guide of unknown target is no control


def test_cells_of_two_targets_are_in_neither_group():
    screen = screen_with(CELLS)
    units = screen.target_units(["A", "B"])
    group = choose_control(screen, "nt_cells", ["NTC"])
    found = populations(screen, units, group)
    assert found["A"] == ([0, 1, 3, 5, 6], [0, 1, 3])  # 2 and 9 hold a guide of B
    assert found["B"] == ([4, 5, 6], [4])
    kept = choose_control(screen, "nt_cells", ["NTC"], "keep")
    assert populations(screen, units, kept)["A"] == ([0, 1, 2, 3, 5, 6, 9], [0, 1, 2, 3, 9])
    # the complement is for screens of many targets per cell
    whole = choose_control(screen, "complement", ["NTC"])
    assert populations(screen, units, whole)["A"] == (list(range(10)), [0, 1, 2, 3, 9])


def test_cells_without_a_guide_on_request():
    screen = screen_with(CELLS)
    group = choose_control(screen, "unperturbed_cells", ["NTC"])
    assert populations(screen, screen.target_units(["A"]), group)["A"] == ([0, 1, 3, 8], [0, 1, 3])
    assert "missed" in group.warning
    everywhere = screen_with([row or "n1" for row in CELLS])
    with pytest.raises(InputError, match="each of 10 cells holds a guide"):
        choose_control(everywhere, "unperturbed_cells", ["NTC"])


@pytest.mark.parametrize("control", ["complement", "nt_cells", "unperturbed_cells"])
def test_other_guides_of_the_target_are_no_controls_of_a_guide(control):
    screen = screen_with(CELLS)
    group = choose_control(screen, control, ["NTC"])
    (cells, treated) = populations(screen, [screen.unit("a1", ["a1"])], group)["a1"]
    assert not {3, 9} & set(cells)  # a2 without a1
    assert treated == ([0, 1, 2] if control == "complement" else [0, 1])


def test_a_value_between_absent_and_present_is_neither():
    between = np.zeros((10, 6), dtype=np.int8)
    between[6, 0] = between[4, 1] = between[0, 1] = between[5, 2] = 1
    screen = screen_with(CELLS, ambiguous=sparse.csc_matrix(between))
    units = screen.target_units(["A", "B"])
    whole = populations(screen, units, choose_control(screen, "complement", ["NTC"]))
    assert whole["A"] == ([0, 1, 2, 3, 5, 7, 8, 9], [0, 1, 2, 3, 9])  # 0 holds a1 for certain
    assert whole["B"][0] == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    few = populations(screen, units, choose_control(screen, "nt_cells", ["NTC"]))
    assert few["A"][0] == [0, 1, 3, 5]
    assert few["B"][0] == [4, 6]


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (["a1 a2"] * 8 + ["n1 n2"] * 4, "nt_cells"),  # two guides, one target
        (["a1 n1"] * 8 + ["n1 n2"] * 4, "nt_cells"),  # a target's guide beside a control
        (["a1 b1"] * 8 + ["n1"] * 4, "complement"),
        (["a1 b1"] * 4 + ["a1"] * 5 + ["n1"], "nt_cells"),
    ],
)
def test_auto_goes_by_targets(rows, kind):
    assert choose_control(screen_with(rows), "auto", ["NTC"]).kind == kind


def test_what_is_stated_is_believed():
    one = ["a1"] * 5 + ["b1"] * 5 + ["n1"] * 4
    many = ["a1 b1"] * 8 + ["n1"] * 4
    high = choose_control(screen_with(one, moi="high"), "auto", ["NTC"])
    assert (high.kind, high.warning) == ("complement", "")
    assert high.reason.startswith("chosen because moi=high is stated (the median perturbed cell")
    assert choose_control(screen_with(many, moi="low"), "auto", ["NTC"]).kind == "nt_cells"
    # nothing stated: what is concluded is said, and the complement is warned of
    assert "one target per cell" in choose_control(screen_with(one), "complement", ["NTC"]).warning
    with pytest.raises(OptionError, match="moi"):
        choose_control(screen_with(one, moi="medium"), "auto", ["NTC"])
    with pytest.raises(OptionError, match="cells_with_other_targets"):
        choose_control(screen_with(one), "auto", ["NTC"], "ignore")


def test_left_out_cells_are_counted_and_bounded():
    screen = screen_with(CELLS)
    units = screen.target_units(["A", "B"])
    group = choose_control(screen, "nt_cells", ["NTC"])
    with pytest.raises(InputError, match=r"leaves out 53% of the median.*control=complement"):
        left_out_cells(screen, units, group)  # 2 of 5 and 2 of 3
    some = screen_with([*CELLS, "b1", "b1"])
    assert left_out_cells(some, units, choose_control(some, "nt_cells", ["NTC"])).tolist() == [2, 2]
    kept = choose_control(screen, "nt_cells", ["NTC"], "keep")
    assert left_out_cells(screen, units, kept).tolist() == [0, 0]


def test_a_guide_with_two_targets_is_not_another_target():
    class Both(Screen):
        def target_columns(self):
            return {"A": [0, 1], "B": [1, 2], "NTC": [3, 4]}  # a2 hits A and B

    screen = screen_with(CELLS)
    screen = Both(**{name: getattr(screen, name) for name in screen.__dataclass_fields__})
    group = choose_control(screen, "nt_cells", ["NTC"])
    membership = Membership(screen, group)
    (unit,) = screen.target_units(["A"])
    treated = screen.treated_cells(unit)
    # b1 is a guide of B, which the unit's own a2 hits as well
    assert membership.of_other_targets(unit, treated).tolist() == []
    assert membership.of_other_targets(screen.unit("a1", ["a1"]), np.array([0, 2])).tolist() == [2]


def test_guides_of_a_target_with_their_cells():
    screen = screen_with(CELLS)
    assert guides_with_cells(screen, screen.target_units(["A"])[0]) == "a1 (3), a2 (3)"
