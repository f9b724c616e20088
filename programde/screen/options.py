"""How a screen is made of what came in: what can be chosen, checked."""

from __future__ import annotations

from dataclasses import dataclass

from programde.errors import OptionError
from programde.option_fields import check_options, option
from programde.screen.formula import check_formula

FLOOR_KINDS = ("quantile", "positive_quantile", "fixed", "share", "none")
#: Transform -> the unit of a shift on its scale.
TRANSFORMS = {
    "clr": "log-ratio",
    "hellinger": "square root of usage",
    "arcsine": "arcsine of the square root of usage",
    "none": "program score",
}


@dataclass(frozen=True)
class Floor:
    """How the floor epsilon under the usages is chosen, and on which scale they are then tested.

    Attributes
    ----------
    kind
        ``"quantile"``: the quantile over all usages; ``"positive_quantile"``: over the positive
        ones; ``"fixed"``: `eps`; ``"share"``: `share_of_mean` times the mean usage, 1 / K;
        ``"none"``: no floor.
    eps_quantile
        Level of the quantile, in [0, 1).
    eps_scale
        The quantile of the positive usages is multiplied by this.
    eps
        The floor itself where `kind` is ``"fixed"``.
    share_of_mean
        The floor as a multiple of the mean usage 1 / K where `kind` is ``"share"``: the same choice
        for any number of programs K.
    transform
        ``"clr"``: centred log-ratio; ``"hellinger"``: square root of the usage; ``"arcsine"``:
        arcsine of the square root. These two need no floor. ``"none"``: program scores of any sign,
        taken as they are; their rows are not made to sum to 1 and there is no floor.

    Raises
    ------
    OptionError
        An unknown kind or transform, a number outside its range, or a transform that does not go
        with the floor.
    """

    kind: str = option("quantile", choices=FLOOR_KINDS)
    eps_quantile: float = option(1e-4, minimum=0, below=1)
    eps_scale: float = option(1.0, above=0)
    eps: float | None = option(None, above=0, below=1)
    share_of_mean: float = option(0.01, above=0, below=1)
    transform: str = option("clr", choices=tuple(TRANSFORMS))

    def __post_init__(self) -> None:
        check_options(self, "floor.")
        if self.kind == "fixed" and self.eps is None:
            raise OptionError("floor.eps must be given where kind=fixed, for example eps=1e-6")
        if self.kind == "none" and self.transform == "clr":
            raise OptionError(
                "transform=clr needs a floor, since there is no logarithm of a usage of 0: choose "
                "another kind of floor, or transform=hellinger"
            )
        if self.kind != "none" and self.transform == "none":
            raise OptionError(
                "transform=none takes program scores as they are, and no floor: choose kind=none "
                "with it (usage=scores)"
            )


@dataclass(frozen=True)
class CovariateOptions:
    """How the covariates become a matrix.

    Attributes
    ----------
    add_intercept
        Put a column of ones first.
    standardize
        Z-score the columns that stay numeric.
    numeric_as_category_threshold
        Numeric columns with at most this many distinct values are one-hot encoded; None: never.
    formula
        ``"auto"``: continuous covariates as natural cubic splines, with a slope per batch;
        ``"linear"``: straight; or a Wilkinson formula such as ``~ batch * log_depth + cs(mito)``.
    """

    add_intercept: bool = True
    standardize: bool = True
    numeric_as_category_threshold: int | None = option(20, minimum=0)
    formula: str = "auto"

    def __post_init__(self) -> None:
        check_options(self)
        check_formula(self.formula, self.add_intercept)
