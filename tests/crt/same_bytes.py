"""Two results compared byte by byte."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from programde.crt.results import CRTResult

#: Logarithms of tails, whose kernels may round by how arrays lie in memory: they are compared to
#: 1e-12, all others byte by byte.
ROUNDED = ("tails_log_left", "tails_log_right")


def assert_same_bytes(one: CRTResult, other: CRTResult) -> None:
    """All bytes are equal, but for the last digits of tails."""
    (first, labels), (second, others) = _held(one), _held(other)
    assert labels == others
    assert first.keys() == second.keys()
    for name, array in first.items():
        if name in ROUNDED:
            np.testing.assert_allclose(array, second[name], rtol=1e-12, atol=1e-12, err_msg=name)
        else:
            assert array.tobytes() == second[name].tobytes(), name


def _held(result: CRTResult) -> tuple[dict[str, np.ndarray], bytes]:
    with tempfile.TemporaryDirectory() as folder:
        result.save(folder)
        with np.load(Path(folder) / "tests.npz") as stored:
            arrays = {name: stored[name] for name in stored.files}
        return arrays, (Path(folder) / "tests.json").read_bytes()
