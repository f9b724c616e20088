"""Known effects in control cells, tested as the targets of an analysis are."""

from __future__ import annotations

from collections.abc import Sequence

from programde.analysis.tested_units import units_to_test, without_controls
from programde.controls.options import SpikeOptions
from programde.controls.spike_results import Spikes
from programde.controls.spikes import spike_controls
from programde.crt.control_group import choose_control
from programde.crt.options import RunOptions
from programde.screen.control_labels import ntc_labels_if_any
from programde.screen.screen import Screen


def run_spikes(
    screen: Screen,
    options: RunOptions,
    spikes: SpikeOptions | None = None,
    *,
    ntc_labels: str | Sequence[str] = (),
    control: str = "auto",
    targets: Sequence[str] | None = None,
    unit: str = "union",
    drop_empty_batches: bool = True,
    by_condition: bool = False,
    cells_with_other_targets: str = "drop",
    exclude_targets: Sequence[str] = (),
    exclude_guides: Sequence[str] = (),
) -> Spikes:
    """Put known effects into sets of control cells and test them as `run_targets` tests targets.

    Parameters
    ----------
    screen, options
        As of `run_targets`.
    spikes
        How many sets, which effects.
    ntc_labels, control, targets, unit, drop_empty_batches, by_condition
        As of `run_targets`: the sets are as large as its targets.
    cells_with_other_targets, exclude_targets, exclude_guides
        As of `run_targets`.

    Returns
    -------
    Spikes
        Tests of the sets with effects and of those without, for `spike_table`.

    Raises
    ------
    InputError
        See `controls.spikes.spike_controls`.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=3, n_target_genes=4, seed=0)
    >>> screen = pde.screen_from_anndata(adata, usage_key="usage")
    >>> options = pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0)
    >>> sizes = pde.SpikeOptions(n_sets=2, n_unspiked_sets=2, fold_changes=(1.5, 2.0))
    >>> spikes = pde.run_spikes(screen, options, sizes, ntc_labels="NTC")
    >>> spikes.n_treated > 0
    True
    """
    labels = ntc_labels_if_any(screen.guide_to_target, ntc_labels)
    units = units_to_test(
        screen, labels, targets, unit,
        exclude_targets=exclude_targets, exclude_guides=exclude_guides,
    )  # fmt: skip
    screen = without_controls(screen, labels, exclude_guides)
    return spike_controls(
        screen,
        units,
        choose_control(screen, control, labels, cells_with_other_targets),
        options,
        SpikeOptions() if spikes is None else spikes,
        by_condition=by_condition,
        drop_empty_batches=drop_empty_batches,
    )
