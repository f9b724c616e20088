"""P-values of sets of control cells with known effects, as a long table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from programde.analysis.calibrate import calibrate
from programde.controls.spike_results import Spikes
from programde.crt.results import CRTResult
from programde.errors import InputError

DIRECTIONS = ("up", "down")


def spike_table(spikes: Spikes, method: str, side: str = "both") -> pd.DataFrame:
    """P-values of all sets, with and without effects.

    Parameters
    ----------
    spikes
        Tests of the sets.
    method
        Name of the calibration; not ``"ntc_empirical"``, which compares targets with sets of
        guides, and sets of cells are none.
    side
        ``"both"``, or ``"left"`` and ``"right"``: then only effects of that direction are kept.

    Returns
    -------
    DataFrame
        set, program, direction (``"up"`` or ``"down"``; empty for a set as it is), fold (1 for a
        set as it is), share (of the log fold change that comes by switching), p_value, and shift:
        by how many standard deviations of the null law the effect moved the statistic.

    Raises
    ------
    InputError
        The calibration is ``"ntc_empirical"``.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=3, n_target_genes=4, seed=0)
    >>> screen = pde.screen_from_anndata(adata, usage_key="usage")
    >>> options = pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0)
    >>> sizes = pde.SpikeOptions(n_sets=2, n_unspiked_sets=2, fold_changes=(1.5, 2.0))
    >>> spikes = pde.run_spikes(screen, options, sizes, ntc_labels="NTC")
    >>> sorted(set(pde.spike_table(spikes, "saddlepoint")["fold"]))
    [1.0, 1.5, 2.0]
    """
    if method == "ntc_empirical":
        raise InputError(
            "calibrate=ntc_empirical compares targets with sets of control guides, and the sets of "
            "cells that got effects are of no guide"
        )
    plain = spikes.unspiked
    programs = np.array(plain.programs, dtype=object)
    n_sets, n_programs = plain.effect.shape
    as_they_are = pd.DataFrame(
        {
            "set": np.repeat(np.arange(n_sets), n_programs),
            "program": np.tile(programs, n_sets),
            "direction": "",
            "fold": 1.0,
            "share": np.nan,
            "p_value": calibrate(plain, method, side).p_value.ravel(),
            "shift": 0.0,
        }
    )
    folds, shares = np.array(spikes.fold_changes), np.array(spikes.shares)
    shape = (len(spikes.programs), len(spikes.programs[0]), 2, folds.size, shares.size)
    column = {name: k for k, name in enumerate(plain.programs)}
    at = np.array([[column[name] for name in names] for names in spikes.programs])
    before = np.take_along_axis(_scores(plain)[: shape[0]], at, axis=1)
    index = np.indices(shape).reshape(5, -1)
    changed = pd.DataFrame(
        {
            "set": index[0],
            "program": programs[at[index[0], index[1]]],
            "direction": np.array(DIRECTIONS, dtype=object)[index[2]],
            "fold": folds[index[3]],
            "share": shares[index[4]],
            "p_value": calibrate(spikes.spiked, method, side).p_value.ravel(),
            "shift": _scores(spikes.spiked).ravel() - before[index[0], index[1]],
        }
    )
    if side != "both":
        changed = changed[changed["direction"] == {"right": "up", "left": "down"}[side]]
    return pd.concat([as_they_are, changed], ignore_index=True)


def _scores(result: CRTResult) -> np.ndarray:
    """Each statistic in standard deviations of its null law, (G, K)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        if result.tails is not None:
            tails = result.tails
            return np.asarray((tails.threshold - tails.mean) / np.sqrt(tails.variance))
        return np.asarray((result.effect - result.null.mean) / result.null.sd)
