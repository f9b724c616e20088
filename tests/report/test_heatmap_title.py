"""The heatmap says how much of a table it shows, and nothing where it shows all."""

from __future__ import annotations

import pandas as pd

from programde import pl


def test_only_what_is_left_out_is_told():
    results = pd.DataFrame(
        {
            "target": ["A", "A", "B", "B"], "program": ["p0", "p1"] * 2,
            "effect": [0.8, 0.1, -0.6, 0.0], "p_value": [1e-9, 0.4, 1e-6, 0.9],
            "q_value": [4e-9, 0.5, 2e-6, 0.9],
        }
    )  # fmt: skip
    whole = pl.heatmap(results).axes[0].get_title(loc="left")
    assert " of " not in whole
    part = pl.heatmap(results, max_targets=1).axes[0].get_title(loc="left")
    assert "1 of 2 targets" in part
