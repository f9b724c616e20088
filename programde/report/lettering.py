"""Names in pictures: text as it is, however long and in whatever script; never mathematics."""

from __future__ import annotations

import functools
import unicodedata

from matplotlib.font_manager import FontProperties, findfont, get_font

FAMILY = "DejaVu Sans"
#: Stands for a letter that the font of our pictures does not have.
NO_GLYPH = "□"


def shortened(text: str, length: int) -> str:
    """A text of at most `length` letters: what is too long loses its middle.

    Names that are alike in their beginning ("ENSG...", "program_...") differ at their end.
    """
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


def in_pictures(name: object, length: int = 40) -> str:
    """A name as matplotlib is to write it: shortened in the middle, and text letter by letter.

    Control and direction marks become blanks; letters without a glyph become an empty box, so that
    no picture warns of them; a dollar sign is escaped, which matplotlib draws as a dollar sign and
    does not take for the beginning of a formula.
    """
    text = "".join(_letter(letter) for letter in shortened(" ".join(str(name).split()), length))
    return text.replace("$", r"\$")


@functools.cache
def _letter(letter: str) -> str:
    if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return " "
    font = get_font(findfont(FontProperties(family=FAMILY)))
    return letter if font.get_char_index(ord(letter)) else NO_GLYPH
