"""Gene sets from a GMT file: a line per set, its name, a description, its genes, tab-separated."""

from __future__ import annotations

from programde.errors import InputError, some
from programde.io.text_tables import OPENERS, PathLike, table_errors


def read_gmt(path: PathLike) -> dict[str, list[str]]:
    """The gene sets of a GMT file (the format of MSigDB); also compressed, ``.gmt.gz``.

    Parameters
    ----------
    path
        The file. Empty fields are left out, a gene that stands twice in a set counts once.

    Returns
    -------
    dict
        Set -> its genes, in the order of the file.

    Raises
    ------
    InputError
        No such file, a line without genes, a set that stands twice, or no set.
    """
    sets: dict[str, list[str]] = {}
    with table_errors(path) as file:
        opener = OPENERS.get(file.suffix.lower(), open)
        with opener(file, "rt", encoding="utf-8-sig") as lines:  # type: ignore[operator]
            for number, line in enumerate(lines, 1):
                name, *rest = line.rstrip("\r\n").split("\t")
                if not name.strip() and not any(rest):
                    continue
                genes = list(dict.fromkeys(g.strip() for g in rest[1:] if g.strip()))
                if not name.strip() or not genes:
                    raise InputError(
                        f"line {number} holds no gene set: a GMT file has tab-separated lines of "
                        "name, description and genes"
                    )
                if name.strip() in sets:
                    raise InputError(f"set {some([repr(name.strip())])} stands twice")
                sets[name.strip()] = genes
        if not sets:
            raise InputError("holds no gene set")
    return sets
