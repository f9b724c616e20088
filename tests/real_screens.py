"""The published screens that some tests read; they are no part of the repository.

They are looked for in the folder that PROGRAMDE_DATA names, else in a folder ``shared/data`` beside
the checkout. Where they are absent these tests skip, saying so; docs/real-screens.md tells where
the data come from.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


def real_screen(name: str) -> Path:
    """The h5ad file of a published screen; skips the test where there is none."""
    path = Path(os.environ.get("PROGRAMDE_DATA") or BESIDE) / f"{name}.h5ad"
    if not path.is_file():
        pytest.skip(f"{path} is absent; set PROGRAMDE_DATA to the folder of the real screens")
    return path
