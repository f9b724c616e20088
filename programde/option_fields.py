"""Options that are checked when they are made: a field's type and range stand beside it, once.

    @dataclass(frozen=True)
    class Binning:
        n_bins: int = option(20, minimum=1)

        def __post_init__(self) -> None:
            check_options(self)

``Binning(n_bins=2.5)`` then is an OptionError of one line. The type is the annotation, the range is
what `option` was given. Whoever reads options from elsewhere (a configuration, a command line) asks
`specs` for both, and so needs no ranges of its own.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from programde.errors import OptionError, nearest

#: More bins, groups or units than this of anything are a slip of the hand, not a wish.
MANY = 1_000_000

#: The default of a field that must be given.
REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "REQUIRED"})()

_SIGNS = {"minimum": ">=", "above": ">", "maximum": "<=", "below": "<"}
_LISTS = (tuple, list, Sequence)
_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Spec:
    """What a field may hold.

    Attributes
    ----------
    name
        Name of the field.
    kinds
        Types that are allowed: int, float, bool, str, or a class; none: anything.
    items
        Types of the entries where the field is a list, else none.
    length
        Number of entries of such a list; 0 for any.
    optional
        Whether None is allowed.
    limits
        What `option` was given.
    default
        Its default, `REQUIRED` where there is none.
    """

    name: str
    kinds: tuple[type, ...] = ()
    items: tuple[type, ...] = ()
    length: int = 0
    optional: bool = False
    limits: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    default: Any = REQUIRED

    def check(self, value: Any, key: str = "") -> Any:
        """The value in its plain Python type.

        Parameters
        ----------
        value
            What was given; numbers of numpy are numbers.
        key
            Its name in the error; default: the field's.

        Raises
        ------
        OptionError
            One line: the key, the value and what is allowed.
        """
        key = key or self.name
        if value is None and self.optional:
            return None
        if self.items and not (str in self.kinds and isinstance(value, str)):
            return self._check_list(value, key)
        if not self.kinds:
            return value
        plain = _plain(value, self.kinds)
        if plain is REQUIRED:
            raise self._refused(value, key)
        if isinstance(plain, str) and not plain.strip():
            raise OptionError(f"{key}={plain!r} is not allowed: it is empty")
        self._check_range(plain, value, key)
        return plain

    def _check_list(self, value: Any, key: str) -> tuple[Any, ...]:
        if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping):
            raise self._refused(value, key)
        plain = tuple(_plain(one, self.items) for one in value)
        if any(one is REQUIRED for one in plain) or (self.length and len(plain) != self.length):
            raise self._refused(value, key)
        for one in plain:
            if isinstance(one, str) and not one.strip():
                raise OptionError(f"{key}={_shown(value)} is not allowed: an entry is empty")
            self._check_range(one, value, key)
        return plain

    def _check_range(self, plain: Any, value: Any, key: str) -> None:
        choices = self.limits.get("choices")
        if choices is not None and plain not in choices:
            raise OptionError(f"{key}={_shown(value)} is not known{nearest(plain, choices)}")
        if isinstance(plain, bool) or not isinstance(plain, int | float):
            return
        if isinstance(plain, float) and not math.isfinite(plain) and not self._range():
            raise OptionError(f"{key}={plain} is out of range: must be finite")
        ok = {
            "minimum": lambda limit: plain >= limit,
            "above": lambda limit: plain > limit,
            "maximum": lambda limit: plain <= limit,
            "below": lambda limit: plain < limit,
        }
        bad = (isinstance(plain, float) and not math.isfinite(plain)) or not all(
            ok[name](limit) for name, limit in self.limits.items() if name in ok
        )
        if bad:
            raise OptionError(f"{key}={_shown(value)} is out of range: must be {self._range()}")

    def _range(self) -> str:
        """``>= 0 and < 1``; empty where there is no limit."""
        found = [
            f"{sign} {self.limits[name]:,}" for name, sign in _SIGNS.items() if name in self.limits
        ]
        return " and ".join(found)

    def _refused(self, value: Any, key: str) -> OptionError:
        """The error for a value of the wrong type."""
        if self.items:
            count = f"{self.length} entries" if self.length else "entries"
            wanted = f"a list of {count}, each {_names(self.items)}"
            wanted += ", or text" if str in self.kinds else ""
        else:
            wanted = _names(self.kinds)
        limits = self._range()
        choices = self.limits.get("choices")
        if choices is not None:
            wanted = f"one of {', '.join(map(str, choices))}"
        wanted += f" {limits}" if limits else ""
        wanted += ", or None" if self.optional else ""
        given = (
            f", not the text {value!r}" if isinstance(value, str) and str not in self.kinds else ""
        )
        return OptionError(f"{key}={_shown(value)} is not allowed: must be {wanted}{given}")


def option(default: Any = REQUIRED, **limits: Any) -> Any:
    """A field of an option class, with what its value may be.

    Parameters
    ----------
    default
        Its default; none: the field must be given.
    **limits
        ``minimum``, ``maximum`` (allowed themselves), ``above``, ``below`` (not), of a number or of
        each in a list; ``choices``, names that are allowed; ``path``, of a text that names a file.
    """
    allowed = ("minimum", "maximum", "above", "below", "choices", "path")
    if wrong := [name for name in limits if name not in allowed]:
        raise TypeError(f"option() has no {wrong[0]!r}{nearest(wrong[0], allowed)}")
    if default is REQUIRED:
        return dataclasses.field(metadata=limits)
    return dataclasses.field(default=default, metadata=limits)


def check_options(made: Any, prefix: str = "") -> None:
    """Check every field of an option object, and put it into its plain Python type.

    To be called in `__post_init__`. `prefix` comes before the name of the field in the error.

    Raises
    ------
    OptionError
        The first field whose type or range is wrong.
    """
    cls: Any = type(made)
    for name, spec in specs(cls).items():
        # frozen dataclasses are written to once more, while they are being made
        object.__setattr__(made, name, spec.check(getattr(made, name), prefix + name))


@cache
def specs(cls: type) -> Mapping[str, Spec]:
    """What the fields of an option class may hold, by name."""
    hints = typing.get_type_hints(cls)
    found = {}
    for field in dataclasses.fields(cls):
        default = REQUIRED
        if field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        found[field.name] = spec_of(field.name, hints[field.name], dict(field.metadata), default)
    return types.MappingProxyType(found)


def spec_of(name: str, hint: Any, limits: Mapping[str, Any], default: Any = REQUIRED) -> Spec:
    """What a field or argument may hold, by its annotation."""
    parts = typing.get_args(hint) if _is_union(hint) else (hint,)
    optional = type(None) in parts
    kinds = [part for part in parts if part is not type(None)]
    items: tuple[type, ...] = ()
    length = 0
    for part in kinds:
        if typing.get_origin(part) in _LISTS:
            inner = [one for one in typing.get_args(part) if one is not ...]
            items = tuple(dict.fromkeys(inner))
            fixed = typing.get_origin(part) is tuple and ... not in typing.get_args(part)
            length = len(inner) if fixed else 0
    kinds = [part for part in kinds if typing.get_origin(part) not in _LISTS]
    known = all(part in _NAMES or dataclasses.is_dataclass(part) for part in kinds)
    return Spec(
        name,
        kinds=tuple(kinds) if known else (),
        items=items if all(one in _NAMES for one in items) else (),
        length=length,
        optional=optional,
        limits=limits,
        default=default,
    )


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _plain(value: Any, kinds: tuple[type, ...]) -> Any:
    """The value as one of the types; REQUIRED where it is none of them. No bool is a number."""
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    for kind in kinds:
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                return REQUIRED
        if kind is int and isinstance(value, bool):
            continue
        if isinstance(value, kind):
            return str(value) if kind is str else value
    return REQUIRED


def _names(kinds: tuple[type, ...]) -> str:
    return " or ".join(_NAMES.get(kind, f"a {kind.__name__}") for kind in kinds)


def _shown(value: Any) -> str:
    """A value as it was written, cut where long."""
    try:
        text = str(list(value)) if isinstance(value, tuple) else str(value)
    except ValueError:  # Python writes out no number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 100 else text[:97] + "..."
