"""Units against their controls, all that a run of tests is told: to be run here or elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from programde.crt.control_group import ControlGroup
from programde.crt.gathering import Group, groups_of
from programde.crt.leaving_out import effects_alone
from programde.crt.options import RunOptions
from programde.crt.plan import plan
from programde.crt.tasks import AnyTask
from programde.screen.chosen import is_stored, read_ahead
from programde.screen.screen import Screen, Unit
from programde.stamps import code_stamp, stamp

#: Of a screen, what no test depends on.
BESIDE_THE_TESTS: dict[str, Any] = {
    "cell_names": [],
    "notes": (),
    "spectra": None,
    "program_labels": {},
    "unfloored": None,
    "moi": None,
}
#: Of the options, what changes no result.
BESIDE_THE_RESULT = ("n_jobs", "progress", "memory")


@dataclass(frozen=True, eq=False)
class Study:
    """What is tested.

    Attributes
    ----------
    screen, units, control, options
        As for `plan.plan` and `engine.run_tasks`.
    levels
        Levels of the condition in whose cells all units are tested; `[""]` for all cells at once.
    drop_empty_batches, are_controls
        As for `plan.plan`.
    room
        Bytes for the cells that are in memory together, of a screen that is not; see
        `crt.gathering`.
    """

    screen: Screen
    units: list[Unit]
    control: ControlGroup
    options: RunOptions
    levels: list[str]
    drop_empty_batches: bool
    are_controls: bool
    room: float = np.inf

    @property
    def names(self) -> list[str]:
        """Name of each row: the units, for each level."""
        return [unit.name for unit in self.units] * len(self.levels)

    @property
    def programs(self) -> list[str]:
        """Name of each column."""
        return list(self.screen.program_names)

    @property
    def conditions(self) -> list[str]:
        """Level of each row."""
        return [level for level in self.levels for _ in self.units]

    def tasks(self) -> Iterator[AnyTask]:
        """What the engine is to do."""
        groups = self._groups()
        group = next(groups, None)
        while group is not None:
            following = None
            for number, level in enumerate(self.levels):
                cells = None
                if level:
                    cells = np.asarray(group.screen.condition).astype(str) == level
                of_group = plan(
                    group.screen,
                    group.units,
                    group.control,
                    cells=cells,
                    drop_empty_batches=self.drop_empty_batches,
                    are_controls=self.are_controls,
                    first_row=number * len(self.units) + group.first,
                    suffix=f" in {level}" if level else "",
                    sharing=effects_alone(self.options),
                )
                for place, task in enumerate(of_group):
                    if place == len(group.units) // 2 and number == len(self.levels) - 1:
                        following = next(groups, None)
                        if following is not None:
                            read_ahead(group.screen, following.screen)
                    yield task
            group = following or next(groups, None)

    def _groups(self) -> Iterator[Group]:
        """All units, or as many as fit into memory with their cells, and then the next."""
        screen, units, control = self.screen, self.units, self.control
        if is_stored(screen):
            yield from groups_of(screen, units, control, self.room, self.options.n_jobs)
        else:
            yield Group(screen, control, 0, units)

    def slim(self) -> Study:
        """The same, without what no test depends on."""
        table = self.screen.covariate_table
        kept = None if table is None else table.reset_index(drop=True)
        screen = replace(self.screen, covariate_table=kept, **BESIDE_THE_TESTS)
        return replace(self, screen=screen, options=replace(self.options, n_jobs=1, progress=False))

    def stamp(self) -> str:
        """Stamp of all that the result depends on.

        Raises
        ------
        OptionError
            Something of one's own cannot be told by its content.
        """
        slim = self.slim()
        what = {f.name: getattr(slim, f.name) for f in fields(slim)
                if f.name not in ("options", "room")}  # fmt: skip
        how = {f.name: getattr(slim.options, f.name) for f in fields(slim.options)
               if f.name not in BESIDE_THE_RESULT}  # fmt: skip
        return stamp(code_stamp(), what, how)


__all__ = ["Study"]
