"""Options of control groups, control units, the comparison with them and the cross-fit.

Control units are made from the cells of a screen (`ControlUnitOptions`, `CrossfitOptions`); what
targets then make of them are rules that act on tables (`ComparisonOptions`), and can be changed
without going back to the cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from programde.controls.matching import MatchingOptions
from programde.errors import OptionError, check_keywords
from programde.option_fields import MANY, check_options, option

BATCH_MODES = ("meta", "pooled", "auto")
COMBINE_METHODS = ("stouffer", "fisher")
TARGET_STATISTICS = ("max_z", "max_effect")


@dataclass(frozen=True)
class GroupOptions:
    """Groups of non-targeting guides, tested as if they were targets.

    Attributes
    ----------
    group_size
        Guides per group; None for the median of the real targets, or as many as leave
        `min_groups` groups.
    min_groups
        Groups that a partition should have: fewer cannot tell a false-alarm rate of 5 % from one
        of 10 %.
    n_partitions
        Random partitions of the guides into groups.
    n_bins
        Guide-frequency bins by which groups follow real targets.
    """

    group_size: int | None = option(None, minimum=1)
    min_groups: int = option(20, minimum=1, maximum=MANY)
    n_partitions: int = option(10, minimum=1, maximum=MANY)
    n_bins: int = option(10, minimum=1, maximum=MANY)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class ControlUnitOptions:
    """What is summarised of a screen, for targets to be compared with its NTC guides.

    Attributes
    ----------
    guides_per_unit
        Guides per NTC unit; None: as many as the median real target has, at most half of the NTC
        guides. With `finite_population_correction` each target is compared with sets of as many
        guides as it has itself, and this is the size of the held-out NTC units.
    n_ntc_units
        Number of NTC units that a target is compared with; all possible ones where fewer exist.
    batch_mode
        "meta": within each batch, then combined. "pooled": once on all cells. "auto": meta where
        the screen has batches, else pooled.
    min_treated, min_control
        A unit, real or NTC, takes part in a batch only with so many treated and control cells.
    finite_population_correction
        True: the guides of a target are exchanged with NTC guides, which accounts for NTC units
        sharing guides (see `programde.controls.exchange`). False: the plain comparison with
        pseudo-genes, which finds too much where NTC guides are few.
    use_pbar
        Match on the mean log odds of the propensity too; takes a propensity fit per guide.

    Examples
    --------
    >>> import programde as pde
    >>> pde.ControlUnitOptions(guides_per_unit=3).batch_mode
    'auto'
    """

    guides_per_unit: int | None = option(None, minimum=1)
    n_ntc_units: int = option(5000, minimum=1, maximum=MANY)
    batch_mode: str = option("auto", choices=BATCH_MODES)
    min_treated: int = option(10, minimum=0)
    min_control: int = option(10, minimum=0)
    finite_population_correction: bool = True
    use_pbar: bool = False

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class ComparisonOptions:
    """How targets are compared with NTC units, given the summaries of both.

    Attributes
    ----------
    combine_method
        "stouffer" (signed, weighted by information; recommended) or "fisher" (two-sided p-values;
        blind to direction).
    target_statistic
        What sums up a target's programs: "max_z", the largest effect in units of the NTC spread
        of its program, or "max_effect", the largest effect as it is.
    matching
        See `MatchingOptions`.

    Examples
    --------
    >>> import programde as pde
    >>> pde.ComparisonOptions(combine_method="fisher").target_statistic
    'max_z'
    """

    combine_method: str = option("stouffer", choices=COMBINE_METHODS)
    target_statistic: str = option("max_z", choices=TARGET_STATISTICS)
    matching: MatchingOptions = field(default_factory=MatchingOptions)

    def __post_init__(self) -> None:
        check_options(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any] | None) -> ComparisonOptions:
        """From names and values, "matching" a dictionary; a misspelt name is an OptionError."""
        given = dict(given or {})
        check_keywords("calibrate=ntc_empirical", given, [f.name for f in fields(cls)])
        if not isinstance(given.get("matching"), MatchingOptions):
            given["matching"] = MatchingOptions.from_dict(given.get("matching"))
        return cls(**given)


@dataclass(frozen=True)
class CrossfitOptions:
    """How NTC guides are held out and tested against the others.

    Attributes
    ----------
    min_guides
        With fewer NTC guides none is held out, unless a comparison with them gives the p-values.
    n_ntc_units
        Number of NTC units that each unit is compared with.
    n_holdout_units
        Number of held-out NTC units.
    seed, frac_A
        Seed of the split, and share of the NTC guides that define the null.

    Examples
    --------
    >>> import programde as pde
    >>> pde.CrossfitOptions(seed=7).frac_A
    0.5
    """

    min_guides: int = option(20, minimum=4)
    n_ntc_units: int = option(1000, minimum=1, maximum=MANY)
    n_holdout_units: int = option(100, minimum=1, maximum=MANY)
    seed: int = option(0, minimum=0)
    frac_A: float = option(0.5, above=0, below=1)

    def __post_init__(self) -> None:
        check_options(self, "crossfit.")


@dataclass(frozen=True)
class SpikeOptions:
    """Known effects put into control cells, to see how many are found; see `controls.spikes`.

    Attributes
    ----------
    n_sets
        Random sets of control cells that get effects; fewer than 10 give no interval to speak of.
        0: none.
    n_unspiked_sets
        Further sets that are tested as they are, for the threshold.
    fold_changes
        Of a program's mean usage; each is tried upwards and downwards.
    most_programs
        Programs that get effects in each set: all of them take turns.
    seed
        Of the sets and the effects. Settings that share it are compared on the same cells.

    Examples
    --------
    >>> import programde as pde
    >>> pde.SpikeOptions(fold_changes=(1.5, 2.0)).n_sets
    10
    """

    n_sets: int = option(10, minimum=0, maximum=MANY)
    n_unspiked_sets: int = option(40, minimum=0, maximum=MANY)
    fold_changes: tuple[float, ...] = option((1.1, 1.2, 1.4, 1.8, 2.7), above=1, maximum=100)
    most_programs: int = option(6, minimum=1, maximum=MANY)
    seed: int = option(0, minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
        if self.n_sets and len(self.fold_changes) < 2:
            raise OptionError(
                f"fold_changes={list(self.fold_changes)} is not enough: a power curve takes two "
                "fold changes at least"
            )
