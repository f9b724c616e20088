"""The generators: one per file, found by being here.

A file has ``ABOUT``, half a line for the table, and ``make(rng) -> Simulated``. To add one is to
add its file: `benchmarks.validity.simulated` has the pieces, and nothing obliges to use them.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pkgutil
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.validity.simulated import Simulated


@dataclass(frozen=True)
class Generator:
    """One way to simulate a screen.

    Attributes
    ----------
    name, about
        By which it is chosen, and what it is.
    make
        rng -> Simulated.
    stamp
        Of its source: what was computed with another source is computed again.
    """

    name: str
    about: str
    make: Callable[[np.random.Generator], Simulated]
    stamp: str

    def screen(self, block: int) -> Simulated:
        """The screen of a block; the same at any time."""
        return self.make(np.random.default_rng([zlib.crc32(self.name.encode()), block]))


def _load(name: str) -> Generator:
    module = importlib.import_module(f"{__name__}.{name}")
    used = {getattr(value, "__module__", None) for value in vars(module).values()}
    sources = {module.__name__, *(str(m) for m in used if str(m).startswith("benchmarks."))}
    text = "".join(inspect.getsource(sys.modules[source]) for source in sorted(sources))
    stamp = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Generator(name, module.ABOUT, module.make, stamp)


#: Generators by name.
GENERATORS = {
    found.name: _load(found.name) for found in sorted(pkgutil.iter_modules(__path__), key=str)
}
