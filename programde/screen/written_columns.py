"""The columns of a formula of the user's own.

The library formulaic evaluates the formula's functions. The columns are made here, so that those of
a curve are [the straight column, what the curve adds to it], and a propensity may give up the
latter. A term's space is what the formula says (all products of its factors' columns); an indicator
leaves out its first level, and a number its mean, where the term without it is in the model too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from programde.errors import InputError, OptionError, nearest, some
from programde.screen.columns import (
    CURVED,
    INTERACTION,
    STRAIGHT,
    Column,
    beyond,
    independent_columns,
    is_constant,
    levels_of,
    z_score,
)
from programde.screen.covariate_table import MAX_LEVELS
from programde.screen.formula import (
    KEY,
    SPLINES,
    Factor,
    Term,
    bare,
    called,
    first_line,
    names_in,
    terms_of,
    with_df,
)


def written_columns(
    frame: pd.DataFrame,
    formula: str,
    *,
    add_intercept: bool,
    standardize: bool,
    threshold: int | None,
    notes: list[str],
) -> list[Column]:
    """The columns of a formula, without the intercept.

    Parameters
    ----------
    frame
        As `covariate_table.covariate_frame` gives it.
    formula
        Begins with ``~``.
    add_intercept, standardize, threshold
        As `covariates.encode_covariates` takes them.
    notes
        Gets a sentence where the formula leaves covariates out.

    Returns
    -------
    list of Column
        Straight columns and indicators, then curvature, then interactions; not all need be
        independent.

    Raises
    ------
    OptionError
        A formula that cannot be read, or an unknown function.
    InputError
        An unknown covariate, NaN, more columns than cells.
    """
    terms = terms_of(formula, add_intercept, list(frame.columns))
    made = _Factors(frame, terms, standardize, threshold)
    present: set[Term] = set(terms) | ({frozenset()} if add_intercept else set())
    straight: dict[str, Column] = {}
    others: list[Column] = []
    _check_size(made, terms, len(frame))
    for term in terms:
        if len(term) > 1:
            others += _products(made, term, present)
            continue
        (factor,) = term
        for column in made[factor].alone(frozenset() in present):
            if column.tier == STRAIGHT:
                straight.setdefault(column.name, column)
            else:
                others.append(column)
    left_out = [name for name in frame.columns if name not in made.used]
    if left_out:
        notes.append(f"{KEY} leaves out covariate(s): {some(left_out, 20)}")
    return [*straight.values(), *sorted(others, key=lambda column: column.tier)]


@dataclass(frozen=True)
class _Factor:
    """One factor of a formula: `labels` of indicators, or `parts` of a number and its curve.

    `columns` are its columns as they came, (N, m); `has_one`: whether a constant is among what
    they span.
    """

    name: str
    columns: np.ndarray
    labels: tuple[str, ...] = ()
    parts: tuple[Column, ...] = ()
    has_one: bool = False

    def alone(self, with_intercept: bool) -> list[Column]:
        if not self.labels:
            return list(self.parts)
        first = int(with_intercept)
        return [
            Column(f"{self.name}_{self.labels[j]}", self.columns[:, j])
            for j in range(first, len(self.labels))
        ]

    def in_product(self, reduced: bool) -> list[tuple[str, np.ndarray]]:
        if self.labels:
            names = [f"{self.name}={label}" for label in self.labels]
            return list(zip(names, self.columns.T, strict=True))[int(reduced) :]
        if reduced:
            return [(part.name, part.values) for part in self.parts]
        if self.columns.shape[1] == 1:
            return [(self.name, self.columns[:, 0])]
        return [(f"{self.name} {j + 1}", column) for j, column in enumerate(self.columns.T)]


class _Factors:
    """The factors of a formula, evaluated."""

    def __init__(
        self,
        frame: pd.DataFrame,
        terms: Iterable[Term],
        standardize: bool,
        threshold: int | None,
    ) -> None:
        self._frame, self._standardize, self._threshold = frame, standardize, threshold
        self._known = _with_short_names(frame.columns)
        self.used: set[str] = set()
        factors = {factor for term in terms for factor in term}
        for factor in sorted(factors):
            self._check_names(factor)
        alone = {factor[0] for term in terms if len(term) == 1 for factor in term if factor[1]}
        self._straight_too = {self._known[name] for name in alone}
        self._made = {factor: self._make(factor) for factor in sorted(factors)}

    def __getitem__(self, factor: Factor) -> _Factor:
        return self._made[factor]

    def _check_names(self, factor: Factor) -> None:
        text, is_name = factor
        names = [text] if is_name else names_in(text)
        for name in names:
            if name not in self._known:
                raise InputError(
                    f"{KEY} names {name!r}, which is no covariate{nearest(name, self._known)}"
                )
            self.used.add(self._known[name])

    def _make(self, factor: Factor) -> _Factor:
        text, is_name = factor
        if is_name:
            return self._of_name(text)
        call = called(text)
        if call is not None and call[0] == "C":
            return self._of_labels(call[1])
        return self._of_expression(text, call)

    def _of_name(self, name: str) -> _Factor:
        column = self._frame[self._known[name]]
        held = levels_of(column, self._threshold)
        if held is not None:
            return _indicators(name, *held)
        values = column.to_numpy(dtype=np.float64)
        return _Factor(name, values[:, None], parts=(Column(name, self._scaled(values)),))

    def _of_labels(self, text: str) -> _Factor:
        name = bare(text)
        if name not in self._known:
            raise OptionError(f"{KEY}: C() takes the name of a covariate, not {text}")
        values = self._frame[self._known[name]]
        if values.nunique() > MAX_LEVELS:
            raise InputError(f"{KEY}: C({name}) has {values.nunique():,} levels; make it a number")
        held = levels_of(values, len(values))
        if held is None:  # one or two cells to each value
            levels, codes = np.unique(values.to_numpy(), return_inverse=True)
            held = [f"{level:g}" for level in levels], codes
        return _indicators(name, *held)

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        return z_score(values) if self._standardize and not is_constant(values) else values

    def _of_expression(self, text: str, call: tuple[str, str] | None) -> _Factor:
        columns = self._evaluate(text)
        ones = np.ones(len(columns))
        if columns.shape[1] == 1:
            values = columns[:, 0]
            names = names_in(text)
            base = self._known[names[0]] if len(names) == 1 else ""
            if base in self._straight_too and levels_of(self._frame[base], self._threshold) is None:
                x = self._frame[base].to_numpy(dtype=np.float64)
                line = np.column_stack([ones, self._scaled(x)])
                if not is_constant(x):
                    rest, _ = beyond(line, columns)
                    parts = tuple(Column(text, rest[:, j], CURVED) for j in range(rest.shape[1]))
                    return _Factor(text, columns, parts=parts)
            return _Factor(text, columns, parts=(Column(text, self._scaled(values)),))
        all_of, _ = beyond(ones[:, None], columns)
        has_one = beyond(columns[:, independent_columns(columns)], ones[:, None])[0].shape[1] == 0
        straight = self._straight_of(call, all_of)
        if straight is None:
            parts = tuple(Column(f"{text} {j + 1}", c) for j, c in enumerate(all_of.T))
            return _Factor(text, columns, parts=parts, has_one=has_one)
        word = SPLINES.get(call[0], call[0]) if call else text
        line = np.column_stack([ones, straight.values])
        rest, _ = beyond(line, all_of)
        curved = [
            Column(f"{straight.name} {word} {j + 2}", column, CURVED)
            for j, column in enumerate(rest.T)
        ]
        return _Factor(text, columns, parts=(straight, *curved), has_one=has_one)

    def _straight_of(self, call: tuple[str, str] | None, curve: np.ndarray) -> Column | None:
        """What a function of several columns bends, where that is among what it spans."""
        if call is None:
            return None
        inner = bare(call[1])
        if inner in self._known:
            column = self._frame[self._known[inner]]
            if not pd.api.types.is_float_dtype(column.dtype):
                return None
            values = column.to_numpy(dtype=np.float64)
        else:
            made = self._evaluate(call[1])
            if made.shape[1] != 1:
                return None
            values = made[:, 0]
        if is_constant(values):
            return None
        z = z_score(values)
        if beyond(np.column_stack([np.ones(len(z)), curve]), z[:, None])[0].shape[1]:
            return None
        return Column(inner, self._scaled(values))

    def _evaluate(self, text: str) -> np.ndarray:
        """A function's columns (N, m), by formulaic."""
        from formulaic import model_matrix

        data = {name: self._frame[column].to_numpy() for name, column in self._known.items()}
        wanted = {name: data[name] for name in names_in(text)}
        for name, values in wanted.items():
            if values.dtype == bool:
                wanted[name] = values.astype(np.float64)
            elif values.dtype == object:
                raise InputError(f"{KEY}: {text} takes numbers, and {name!r} holds labels")
        asked = with_df(text) if called(text) else "{" + text + "}"
        try:
            with np.errstate(all="ignore"):
                made = model_matrix(
                    f"0 + {asked}",
                    pd.DataFrame(wanted, index=self._frame.index),
                    ensure_full_rank=False,
                    na_action="ignore",
                    context={},
                )
            columns = np.asarray(made, dtype=np.float64)
        except Exception as error:  # formulaic raises many kinds for a function's wrong arguments
            raise OptionError(f"{KEY}: {text} cannot be computed: {first_line(error)}") from error
        wrong = np.flatnonzero(~np.isfinite(columns).all(axis=1))
        if len(wrong):
            raise InputError(
                f"{KEY}: {text} is NaN or infinite in {len(wrong):,} of {len(columns):,} cells "
                f"(first: {some(self._frame.index[wrong][:3])})"
            )
        return columns


def _indicators(name: str, labels: list[str], codes: np.ndarray) -> _Factor:
    columns = (codes[:, None] == np.arange(len(labels))).astype(np.float64)
    return _Factor(name, columns, labels=tuple(labels), has_one=True)


def _products(made: _Factors, term: Term, present: set[Term]) -> list[Column]:
    """The columns of an interaction: all products of its factors' columns."""
    factors = sorted(term, key=lambda factor: (not made[factor].labels, factor))
    pieces = [made[f].in_product(reduced=term - {f} in present) for f in factors]
    columns = []
    for chosen in product(*pieces):
        values = np.prod([piece for _, piece in chosen], axis=0)
        size = float(np.sqrt(np.mean(values * values)))
        if size > 0 and not all(made[f].labels for f in factors):
            values = values / size if size < 1e-3 or size > 1e3 else values
        columns.append(Column(" x ".join(name for name, _ in chosen), values, INTERACTION))
    return columns


def _check_size(made: _Factors, terms: list[Term], n_cells: int) -> None:
    for term in terms:
        size = int(np.prod([made[factor].columns.shape[1] for factor in term]))
        if size >= n_cells:
            name = ":".join(sorted(text for text, _ in term))
            raise InputError(
                f"{KEY}: {name} makes {size:,} columns for {n_cells:,} cells; use fewer"
            )


def _with_short_names(columns: Iterable[str]) -> dict[str, str]:
    """Name -> column; a column behind its modality's name (``rna:batch``) by its own name too."""
    names = [str(column) for column in columns]
    known = {name: name for name in names}
    behind: dict[str, list[str]] = {}
    for name in names:
        behind.setdefault(name.rpartition(":")[2], []).append(name)
    for short, owners in behind.items():
        if len(owners) == 1:
            known.setdefault(short, owners[0])
    return known
