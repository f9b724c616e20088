"""Options are refused when they are made: by type, by range, in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from programde.errors import OptionError
from programde.option_fields import REQUIRED, check_options, option, specs


@dataclass(frozen=True)
class Inner:
    width: int = option(2, minimum=1)

    def __post_init__(self) -> None:
        check_options(self, "inner.")


@dataclass(frozen=True)
class Made:
    count: int = option(3, minimum=1, maximum=1000)
    most: int | None = option(None, minimum=1)
    share: float = option(0.5, above=0, below=1)
    size: float = 1.0
    ask: bool = True
    word: str = option("clr", choices=("clr", "usage"))
    ends: tuple[float, float] = option((0.0, 1.0), minimum=0, maximum=1)
    names: tuple[str, ...] = ("a",)
    inner: Inner = Inner()
    anything: Any = None

    def __post_init__(self) -> None:
        check_options(self)


def test_what_is_allowed_becomes_plain() -> None:
    made = Made(
        np.int64(4), 2, np.float32(0.25), 3, np.bool_(True), np.str_("usage"), [0, 1],
        np.array(["b", "c"]), Inner(5), object,
    )  # fmt: skip
    assert (made.count, made.most, made.share, made.size) == (4, 2, 0.25, 3.0)
    assert [type(v) for v in (made.count, made.share, made.size, made.word)] == [
        int, float, float, str,
    ]  # fmt: skip
    assert made.ask is True
    assert made.ends == (0.0, 1.0)
    assert made.names == ("b", "c")
    assert made.anything is object


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"count": 2.5}, "count=2.5 is not allowed: must be a whole number >= 1 and <= 1,000"),
        ({"count": 2.0}, "count=2.0 is not allowed: must be a whole number >= 1 and <= 1,000"),
        ({"count": True}, "count=True is not allowed: must be a whole number >= 1 and <= 1,000"),
        ({"count": None}, "count=None is not allowed: must be a whole number >= 1 and <= 1,000"),
        ({"count": 10**9}, "count=1000000000 is out of range: must be >= 1 and <= 1,000"),
        ({"count": 10**5000}, "is out of range: must be >= 1 and <= 1,000"),
        ({"count": [1]}, "count=[1] is not allowed: must be a whole number"),
        ({"count": np.array([1, 2])}, "count=[1 2] is not allowed: must be a whole number"),
        (
            {"most": "2"},
            "most=2 is not allowed: must be a whole number >= 1, or None, not the text",
        ),
        ({"most": 0}, "most=0 is out of range: must be >= 1"),
        ({"share": 0}, "share=0 is out of range: must be > 0 and < 1"),
        ({"share": 1.0}, "share=1.0 is out of range: must be > 0 and < 1"),
        ({"share": float("nan")}, "share=nan is out of range"),
        ({"share": True}, "share=True is not allowed: must be a number > 0 and < 1"),
        ({"share": 1j}, "share=1j is not allowed: must be a number > 0 and < 1"),
        ({"size": float("inf")}, "size=inf is out of range: must be finite"),
        ({"size": 10**400}, "is not allowed: must be a number"),
        ({"ask": 1}, "ask=1 is not allowed: must be true or false"),
        ({"ask": "no"}, "ask=no is not allowed: must be true or false, not the text 'no'"),
        ({"word": "cl"}, "word=cl is not known; did you mean 'clr'? valid: clr, usage"),
        ({"word": ""}, "word='' is not allowed: it is empty"),
        ({"word": b"clr"}, "is not allowed: must be one of clr, usage"),
        ({"ends": (0.1, 0.2, 0.3)}, "must be a list of 2 entries, each a number >= 0 and <= 1"),
        ({"ends": (0.1, 2)}, "ends=[0.1, 2] is out of range: must be >= 0 and <= 1"),
        ({"ends": 0.5}, "ends=0.5 is not allowed: must be a list of 2 entries"),
        ({"names": "abc"}, "names=abc is not allowed: must be a list of entries, each text"),
        ({"names": [1]}, "names=[1] is not allowed: must be a list of entries, each text"),
        ({"names": ["a", " "]}, "names=['a', ' '] is not allowed: an entry is empty"),
        ({"names": {"a": 1}}, "is not allowed: must be a list of entries"),
        ({"inner": {"width": 2}}, "inner={'width': 2} is not allowed: must be a Inner"),
    ],
)
def test_what_is_not_allowed_is_one_line(given: dict[str, Any], line: str) -> None:
    with pytest.raises(OptionError) as caught:
        Made(**given)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_prefix_says_whose_field_it_is() -> None:
    with pytest.raises(OptionError, match=r"^inner\.width=0 is out of range"):
        Inner(0)


def test_the_defaults_that_classes_give() -> None:
    @dataclass
    class Needed:
        path: str = option(path=True)

    assert specs(Made)["count"].default == 3
    assert specs(Needed)["path"].default is REQUIRED
    assert specs(Made)["anything"].check([1, {}]) == [1, {}]
    with pytest.raises(TypeError, match=r"option\(\) has no 'minimun'; did you mean 'minimum'"):
        option(3, minimun=1)


def test_a_field_that_must_be_given_has_a_range_too() -> None:
    @dataclass(frozen=True)
    class Asked:
        count: int = option(minimum=1)

        def __post_init__(self) -> None:
            check_options(self)

    assert Asked(1).count == 1
    with pytest.raises(OptionError, match="count=0 is out of range: must be >= 1"):
        Asked(0)
