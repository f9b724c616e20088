"""A formula of covariates, read: ``~ batch * log_depth + cs(log_depth, df=4)``.

The library formulaic takes it apart into terms and factors; what it may call stands here. Its
columns are made in `written_columns`.

Source: G. N. Wilkinson and C. E. Rogers, Applied Statistics 22 (1973) 392-399.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from programde.errors import OptionError, nearest

AUTO, LINEAR = "auto", "linear"
KEY = "covariates.formula"
#: Functions that a formula may call: what they give of a cell does not hang on the cell's place.
FUNCTIONS = ("log", "log10", "log2", "exp", "cs", "cr", "cc", "bs", "poly", "center", "scale",
             "standardize", "I", "C")  # fmt: skip
#: Functions that make several columns of a covariate, and what those are called.
SPLINES = {"cs": "spline", "cr": "spline", "bs": "spline", "cc": "cyclic spline"}
#: Degrees of freedom of `cs(x)`, where none are given.
DF = 4
#: A spline or polynomial has at most so many columns.
MAX_DEGREE = 50
_QUOTED = re.compile(r"`([^`]*)`")

#: A factor: its text, and whether that is a covariate's plain name.
Factor = tuple[str, bool]
Term = frozenset[Factor]


def is_written(formula: str) -> bool:
    """Whether the formula is one of the user's own."""
    return formula not in (AUTO, LINEAR)


def check_formula(formula: str, add_intercept: bool = True) -> None:
    """Whether a formula can be read; what its names are is seen when there is a table.

    Raises
    ------
    OptionError
        One line: what is wrong.
    """
    if is_written(formula):
        terms_of(formula, add_intercept)


def terms_of(formula: str, add_intercept: bool, columns: list[str] | None = None) -> list[Term]:
    """Terms of a formula, each a set of (text, whether it is a plain name); the intercept left out.

    Raises
    ------
    OptionError
        A formula that cannot be read, names an outcome, or calls what it may not.
    """
    text = formula.strip()
    if not text.startswith("~"):
        if "~" in text:
            raise OptionError(
                f"{KEY}={_short(formula)} names an outcome; the outcomes are the programs: "
                f"write ~ {text.partition('~')[2].strip()}"
            )
        raise OptionError(
            f"{KEY}={_short(formula)} is not known{nearest(text, (AUTO, LINEAR))}, or a formula "
            "that begins with ~, for example ~ batch * log_depth"
        )
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    context = {"__formulaic_variables_available__": [f"`{c}`" for c in columns or ["x"]]}
    try:
        read: Any = Formula(text, _context=context)
        terms = [list(term.factors) for term in read]
    except (FormulaicError, SyntaxError, AttributeError, TypeError, ValueError) as error:
        why = (
            "it has more than one part" if isinstance(error, AttributeError) else first_line(error)
        )
        raise OptionError(f"{KEY}={_short(formula)} cannot be read: {why}") from error
    found: list[Term] = []
    has_intercept = False
    for factors in terms:
        kinds = [factor.eval_method.name for factor in factors]
        pieces = frozenset(
            (bare(factor.expr) if kind == "LOOKUP" else factor.expr, kind == "LOOKUP")
            for factor, kind in zip(factors, kinds, strict=True)
            if kind != "LITERAL"
        )
        for expression, is_name in pieces:
            if not is_name:
                _check_expression(expression)
        has_intercept |= not pieces
        if pieces and pieces not in found:
            found.append(pieces)
    if add_intercept and not has_intercept:
        raise OptionError(
            f"{KEY}={_short(formula)} takes the intercept out; say so by "
            "covariates.add_intercept=false as well, or leave it in"
        )
    return found


def _parsed(expression: str) -> tuple[ast.expr, Mapping[str, str]]:
    """The expression as a tree, names in backticks replaced; what they stand for."""
    quoted: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        quoted[f"_quoted_{len(quoted)}"] = match.group(1)
        return f"_quoted_{len(quoted) - 1}"

    return ast.parse(_QUOTED.sub(stand_in, expression).strip(), mode="eval").body, quoted


def _check_expression(expression: str) -> None:
    """Raise an OptionError unless it is arithmetic, and functions that are known."""
    try:
        tree, _ = _parsed(expression)
    except SyntaxError as error:
        raise OptionError(f"{KEY}: {expression} cannot be read") from error
    allowed = (ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.BinOp, ast.UnaryOp,
               ast.operator, ast.unaryop, ast.Attribute, ast.List, ast.Tuple, ast.Compare,
               ast.cmpop)  # fmt: skip
    for node in ast.walk(tree):
        if not isinstance(node, allowed):
            raise OptionError(f"{KEY}: {expression} is more than numbers and functions")
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            is_ufunc = name.startswith("np.") and isinstance(getattr(np, name[3:], None), np.ufunc)
            if name not in FUNCTIONS and not is_ufunc:
                choices = (*FUNCTIONS, "np.sqrt", "np.log1p")
                raise OptionError(
                    f"{KEY} calls {name!r}, which is not known{nearest(name, choices)}"
                )
            _check_degree(node, expression)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) != "np":
            raise OptionError(f"{KEY}: {ast.unparse(node)} is not known")


def _check_degree(call: ast.Call, expression: str) -> None:
    """Raise an OptionError where a spline or a polynomial has columns without end."""
    if ast.unparse(call.func) not in (*SPLINES, "poly"):
        return
    named = [word.value for word in call.keywords if word.arg in ("df", "degree")]
    given = [*call.args[1:2], *named]
    for value in given:
        if isinstance(value, ast.BinOp):
            raise OptionError(f"{KEY}: {expression}: write numbers as they are")
        number = value.value if isinstance(value, ast.Constant) else 0
        if isinstance(number, int | float) and number > MAX_DEGREE:
            raise OptionError(
                f"{KEY}: {expression} asks for {number:g} columns; at most {MAX_DEGREE}"
            )


def names_in(expression: str) -> list[str]:
    """Names of covariates in an expression, in order of appearance."""
    tree, quoted = _parsed(expression)
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)} | {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    names = [
        quoted.get(node.id, node.id)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and id(node) not in functions
    ]
    return list(dict.fromkeys(names))


def called(expression: str) -> tuple[str, str] | None:
    """(function, text of its first argument) where the whole expression is a call, else None."""
    tree, quoted = _parsed(expression)
    if not isinstance(tree, ast.Call) or not tree.args:
        return None
    argument = ast.unparse(tree.args[0])
    for stand_in, name in quoted.items():
        argument = argument.replace(stand_in, f"`{name}`")
    return ast.unparse(tree.func), argument


def with_df(expression: str) -> str:
    """A call; of a natural or cyclic spline that says nothing of its knots, with df=4."""
    tree, _ = _parsed(expression)
    if (
        isinstance(tree, ast.Call)
        and ast.unparse(tree.func) in ("cs", "cr", "cc")
        and len(tree.args) == 1
        and not {word.arg for word in tree.keywords} & {"df", "knots"}
    ):
        return f"{expression.rstrip()[:-1]}, df={DF})"
    return expression


def bare(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "`" else text


def _short(formula: str) -> str:
    return formula if len(formula) <= 100 else formula[:97] + "..."


def first_line(error: Exception) -> str:
    """The first line of an error."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
