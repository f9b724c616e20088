"""Units against NTC guides: guide exchange, or the plain comparison with pseudo-genes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from programde.controls.comparison import Comparison
from programde.controls.control_units import ControlUnits
from programde.controls.exchange import GuideExchange
from programde.controls.options import ComparisonOptions
from programde.controls.pseudogenes import compare_with_pseudogenes


def compare(
    units: ControlUnits,
    ntc: np.ndarray,
    pseudogenes: np.ndarray,
    rows: np.ndarray,
    rules: ComparisonOptions,
    n_jobs: int = 1,
    progress: bool | None = None,
    n_ntc_units: int | None = None,
) -> Comparison:
    """Test some units against NTC guides.

    Parameters
    ----------
    units
        From `control_units`.
    ntc : (M,) int
        Columns of the NTC guides, in an order that does not depend on the screen's.
    pseudogenes : (R,) int
        Units that are sets of these guides; not looked at where guides are exchanged.
    rows : (U,) int
        The units tested.
    rules
        Matching, combination, what sums up a unit.
    n_jobs, progress
        Threads, and whether to show a progress bar.
    n_ntc_units
        Number of sets exchanged; None for that of the control units.
    """
    options = units.options
    if n_ntc_units is not None:
        options = replace(options, n_ntc_units=n_ntc_units)
    if not options.finite_population_correction:
        return compare_with_pseudogenes(
            units.batches, rows, ntc, pseudogenes, units.real, options, rules
        )
    targets = [units.members[r] for r in units.real.tolist()]
    test = GuideExchange(units.batches, ntc, targets, options, rules, units.seed)
    return test.test([units.members[r] for r in rows.tolist()], rows, n_jobs, progress)
