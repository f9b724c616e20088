"""The numbers of a run that people compare: few enough to be the columns of a table.

`reports/metrics.json` holds all of them; `dvc metrics` and MLflow show these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Group -> its numbers. With the path of the file they are fewer than 25 columns.
HEADLINE: dict[str, tuple[str, ...]] = {
    "ntc": (
        "rate_05", "rate_05_low", "rate_05_high", "rate_01", "rate_001",
        "lambda_mean", "lambda_mean_low", "lambda_mean_high", "n_independent",
    ),
    "ntc_guides": ("rate_05", "lambda_mean", "lambda_mean_low", "lambda_mean_high"),
    "discoveries": ("bh10", "bh05"),
    "power": ("mix", "mix_low", "mix_high", "mde80_mix"),
    "truth": ("power_bh10", "fdr_bh10", "sign_error"),
}  # fmt: skip


def headline(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What is shown of a run's metrics; what is not known is left out.

    Parameters
    ----------
    metrics
        Group -> name -> number, as stage diagnostics writes them.

    Returns
    -------
    dict
        Group -> name -> number, in the order of `HEADLINE`; groups without a number are left out.
    """
    shown: dict[str, dict[str, Any]] = {}
    for group, names in HEADLINE.items():
        numbers = metrics.get(group) or {}
        known = {name: numbers[name] for name in names if numbers.get(name) is not None}
        if known:
            shown[group] = known
    return shown
