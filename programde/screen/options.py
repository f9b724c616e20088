"""How a screen is made of what came in: what can be chosen, checked."""

from __future__ import annotations

from dataclasses import dataclass

from programde.errors import OptionError
from programde.option_fields import check_options, option
from programde.screen.formula import check_formula

FLOOR_KINDS = ("quantile", "positive_quantile", "fixed")


@dataclass(frozen=True)
class Floor:
    """How the floor epsilon under the usages is chosen.

    Attributes
    ----------
    kind
        ``"quantile"``: the quantile over all usages; ``"positive_quantile"``: over the positive
        ones; ``"fixed"``: `eps`.
    eps_quantile
        Level of the quantile, in [0, 1).
    eps_scale
        The quantile of the positive usages is multiplied by this.
    eps
        The floor itself where `kind` is ``"fixed"``.

    Raises
    ------
    OptionError
        An unknown kind, or a number outside its range.
    """

    kind: str = option("quantile", choices=FLOOR_KINDS)
    eps_quantile: float = option(1e-4, minimum=0, below=1)
    eps_scale: float = option(1.0, above=0)
    eps: float | None = option(None, above=0, below=1)

    def __post_init__(self) -> None:
        check_options(self, "floor.")
        if self.kind == "fixed" and self.eps is None:
            raise OptionError("floor.eps must be given where kind=fixed, for example eps=1e-6")


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
