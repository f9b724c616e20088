"""The bugs that a file can have: every place where a small change makes the code do another thing.

Left out: annotations, messages, docstrings, and numbers in files that draw (a font's size is no
bug).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Files that draw.
PICTURES = ("plots", "style", "pictures", "blocks", "page")
FLIPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn,
    ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@dataclass(frozen=True)
class Bug:
    """One change of one place.

    Attributes
    ----------
    file
        Relative to the repository.
    line, begin, end
        Line, and place in the file's bytes.
    kind
        What was done.
    old, new
        The text before and after.
    within
        The line in which it begins.
    kernel
        Whether it stands in compiled code.
    """

    file: str
    line: int
    begin: int
    end: int
    kind: str
    old: str
    new: str
    within: str
    kernel: bool

    @property
    def id(self) -> str:
        """The same for the same change, whatever moves above it."""
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.file}: {self.within.strip()} | {old} -> {new}"


def _changed(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The bugs that one node can have: their kind, and the node in its new form."""
    copy = ast.parse(ast.unparse(node)).body[0]
    plain = copy.value if isinstance(copy, ast.Expr) else copy
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(plain, ast.Compare):
        plain.ops = [FLIPS[type(node.ops[0])]()]
        yield "comparison", plain
    elif isinstance(node, ast.BinOp) and type(node.op) in FLIPS and isinstance(plain, ast.BinOp):
        if not any(_is_text(side) for side in (node.left, node.right)):
            plain.op = FLIPS[type(node.op)]()
            yield "arithmetic", plain
    elif isinstance(node, ast.BoolOp) and isinstance(plain, ast.BoolOp):
        plain.op = FLIPS[type(node.op)]()
        yield "and, or", plain
    elif isinstance(node, ast.UnaryOp) and isinstance(plain, ast.UnaryOp):
        if isinstance(node.op, ast.Not | ast.USub) and not isinstance(node.operand, ast.Constant):
            yield "not, minus", plain.operand
    elif isinstance(node, ast.Constant) and isinstance(plain, ast.Constant):
        if isinstance(node.value, bool):
            yield "constant", ast.Constant(not node.value)
        elif isinstance(node.value, int):
            yield "constant", ast.Constant(node.value + 1)
        elif isinstance(node.value, float):
            yield "constant", ast.Constant(node.value * 2 + (node.value == 0))
    elif isinstance(node, ast.Call) and isinstance(plain, ast.Call):
        starred = any(isinstance(argument, ast.Starred) for argument in node.args)
        of_types = _name(node) in ("isinstance", "getattr", "hasattr", "cast")
        if len(node.args) == 2 and not starred and not of_types:
            swapped = _fresh(node)
            swapped.args.reverse()
            yield "arguments", swapped
        for i, word in enumerate(node.keywords):
            if word.arg not in (None, "strict", "stacklevel", "encoding", "dtype", "axis"):
                fewer = _fresh(node)
                del fewer.keywords[i]
                yield "argument left out", fewer
    elif isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield "return", ast.Return(ast.Constant(None))
    elif isinstance(node, ast.AugAssign) and type(node.op) in FLIPS:
        assert isinstance(plain, ast.AugAssign)
        plain.op = FLIPS[type(node.op)]()
        yield "arithmetic", plain
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield "call left out", ast.Pass()


def _fresh(call: ast.Call) -> ast.Call:
    """A copy to be changed."""
    copy = ast.parse(ast.unparse(call), mode="eval").body
    assert isinstance(copy, ast.Call)
    return copy


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func).split(".")[-1]


def _places(tree: ast.AST, kernel: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """The nodes that are run, and whether in compiled code."""
    for name, field in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "type_comment"):
            continue
        for node in field if isinstance(field, list) else [field]:
            if not isinstance(node, ast.AST):
                continue
            if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr):
                continue  # words
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            if isinstance(node, ast.Call) and _name(node) in ("tell", "warn"):
                continue
            inside = kernel
            if isinstance(node, ast.FunctionDef):
                inside = kernel or any("njit" in ast.unparse(d) for d in node.decorator_list)
            yield node, inside
            yield from _places(node, inside)


def bugs_of(path: Path, root: Path) -> list[Bug]:
    """Every bug that can be put into a file of the repository `root`."""
    text = path.read_bytes()
    starts = [0]
    for line in text.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    found = []
    for node, kernel in _places(ast.parse(text)):
        if not isinstance(node, ast.expr | ast.stmt) or node.end_lineno is None:
            continue
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + (node.end_col_offset or 0)
        if isinstance(node, ast.Compare | ast.BinOp | ast.BoolOp | ast.UnaryOp | ast.Constant
                      | ast.Call | ast.Return | ast.AugAssign | ast.Expr):  # fmt: skip
            for kind, changed in _changed(node):
                new = ast.unparse(changed)
                if isinstance(node, ast.expr):
                    new = f"({new})"
                if kind == "constant" and any(word in path.stem for word in PICTURES):
                    continue
                old, file = text[begin:end].decode(), path.relative_to(root).as_posix()
                within = text[starts[node.lineno - 1] : starts[node.lineno] - 1].decode()
                found.append(Bug(file, node.lineno, begin, end, kind, old, new, within, kernel))
    return found
