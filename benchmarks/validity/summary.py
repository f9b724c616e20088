"""From the blocks' counts to rates, false discovery rates and power, each with its error.

Errors are those over screens: targets of one screen share its outcome, and programs of one target
its cells. A rate's error is never below that of a Poisson count, which matters where few blocks
hold a handful of rejections.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.validity.blocks import read
from benchmarks.validity.counting import CLASSES, FDR, LEVELS
from benchmarks.validity.generators import GENERATORS
from benchmarks.validity.settings import BEFORE, DEFAULT, SETTINGS

#: Groups of classes that the tables show.
SPANS = {"15+": ("15-49", "50+"), "<50": ("10-14", "15-49"), "all": tuple(CLASSES)} | {
    name: (name,) for name in CLASSES
}
Blocks = dict[int, dict[str, Any]]


def load(folder: Path) -> dict[tuple[str, str, str], Blocks]:
    """(generator, setting, calibration) -> block -> counts; `seconds` and `commit` among them."""
    found: dict[tuple[str, str, str], Blocks] = {}
    for generator in GENERATORS.values():
        for setting in SETTINGS:
            for file in sorted((folder / generator.name / setting).glob("*.json")):
                stored = read(file, generator.stamp)
                for name, counts in (stored or {}).get("calibrations", {}).items():
                    extra = {key: stored[key] for key in ("seconds", "commit")}  # type: ignore[index]
                    own = found.setdefault((generator.name, setting, name), {})
                    own[int(file.stem)] = counts | extra
    return found


def ratio(above: np.ndarray, below: np.ndarray) -> tuple[float, float]:
    """Sum of `above` (B,) over sum of `below` (B,), and the error over the B blocks."""
    total = float(below.sum())
    if total == 0:
        return float("nan"), float("nan")
    rate = float(above.sum()) / total
    B = above.size
    if B < 2:
        return rate, float("nan")
    off = above - rate * below
    return rate, float(np.sqrt((off @ off) * B / (B - 1)) / total)


def _sum(blocks: Blocks, span: str, key: str, level: int | None = None) -> np.ndarray:
    def of(counts: dict[str, Any]) -> float:
        values = [counts["classes"][name][key] for name in SPANS[span]]
        return float(sum(v if level is None else v[level] for v in values))

    return np.array([of(blocks[b]) for b in sorted(blocks)])


def null_rates(blocks: Blocks, span: str) -> dict[str, list[float]]:
    """Rate over nominal at each level, and its error."""
    tests = _sum(blocks, span, "null")
    rates, errors = [], []
    for j, level in enumerate(LEVELS):
        below = _sum(blocks, span, "below", j)
        rate, error = ratio(below, tests)
        poisson = np.sqrt(max(below.sum(), 1.0)) / max(tests.sum(), 1.0)
        rates.append(rate / level)
        errors.append(float(np.fmax(error, poisson)) / level)
    return {"rate": rates, "error": errors, "tests": [float(tests.sum())]}


def one(blocks: Blocks) -> dict[str, Any]:
    """Everything about one setting and calibration on one generator."""
    shares = np.array([blocks[b]["share_false"] for b in sorted(blocks)])
    B = len(blocks)
    nulls, reals = _sum(blocks, "all", "null").sum(), _sum(blocks, "all", "real").sum()
    out: dict[str, Any] = {
        "blocks": B,
        "null": {span: null_rates(blocks, span) for span in SPANS},
        "fdr": float(shares.mean()),
        "fdr_error": float(shares.std(ddof=1) / np.sqrt(B)) if B > 1 else float("nan"),
        "fdr_meant": float(FDR * nulls / max(nulls + reals, 1)),
        "seconds": float(np.mean([counts["seconds"] for counts in blocks.values()])),
        "commits": dict(Counter(counts["commit"] for counts in blocks.values())),
    }
    for span in SPANS:
        real = _sum(blocks, span, "real")
        out[f"power {span}"] = ratio(_sum(blocks, span, "found"), real)
        out[f"fair {span}"] = ratio(_sum(blocks, span, "fair"), real)
    return out


def gain(ours: Blocks, theirs: Blocks) -> dict[str, Any]:
    """Power of ours less theirs, and its error, on the blocks that both have."""
    common = set(ours) & set(theirs)
    a, b = ({k: v for k, v in blocks.items() if k in common} for blocks in (ours, theirs))
    out: dict[str, Any] = {"blocks": len(common)}
    for span in ("all", "<50") if common else ():
        real = _sum(a, span, "real")
        for key in ("found", "fair"):
            out[f"{key} {span}"] = ratio(_sum(a, span, key) - _sum(b, span, key), real)
    return out


def statistic_of(setting: str) -> str:
    """With which of our statistics a setting is to be compared."""
    return "utest" if "utest" in setting or "mannwhitney" in setting else "ols"


def text_of(results: dict[str, Any]) -> str:
    """The results as JSON, a line per row, numbers to four digits, null for none."""

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.4g}") if np.isfinite(value) else None
        if isinstance(value, list | tuple):
            return [short(v) for v in value]
        if isinstance(value, dict):
            return {key: short(v) for key, v in value.items()}
        return value

    head = json.dumps({key: v for key, v in results.items() if key != "rows"}, indent=1)
    rows = ",\n".join(json.dumps(short(row)) for row in results["rows"])
    return f'{head[:-2]},\n "rows": [\n{rows}\n]}}\n'


def summarise(folder: Path) -> dict[str, Any]:
    """All results, as JSON can hold them."""
    loaded = load(folder)
    rows = []
    for (generator, setting, calibration), blocks in loaded.items():
        row: dict[str, Any] = {
            "generator": generator,
            "setting": setting,
            "calibration": calibration,
        }
        default = loaded.get((generator, DEFAULT[statistic_of(setting)], "saddlepoint"))
        row |= one(blocks)
        if default:
            row["gain_of_default"] = gain(default, blocks)
        rows.append(row)
    return {
        "generators": {name: generator.about for name, generator in GENERATORS.items()},
        "levels": list(LEVELS),
        "default": DEFAULT,
        "before": BEFORE,
        "rows": rows,
    }
