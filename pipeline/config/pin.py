"""Whether the library that is installed is of the version that this project is pinned to."""

from __future__ import annotations

import re
from pathlib import Path

from programde import __version__
from programde.errors import OptionError

#: Every stage of a project depends on it; the checkout has none, its stages depend on the library.
PIN = Path("requirements.txt")


def check_pin(root: Path) -> None:
    """Refuse to mix versions within one project's results.

    Raises
    ------
    OptionError
        Another version is installed; says both.
    """
    file = root / PIN
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = re.search(r"^programde(?:\[[\w,]*\])?==(\S+)", text, re.MULTILINE)
    if found and found[1] != __version__:
        raise OptionError(
            f"this project is of programDE {found[1]} and {__version__} is installed: `programde "
            f"init .` takes it up (its stages run again), pip install -r {PIN} goes back"
        )
