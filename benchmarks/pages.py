"""Results as text: the tables on the terminal and in ``docs/benchmarks.md``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.pieces import PIECES

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table whose columns line up in plain text too."""
    cells = [list(header), *[list(row) for row in rows]]
    width = [max(len(row[j]) for row in cells) for j in range(len(header))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, width, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in width) + "|")
    return lines


def middle(value: dict[str, float], scale: float = 1.0, digits: int = 1) -> str:
    """Median and quartiles."""
    low, at, high = (scale * value[key] for key in ("low", "median", "high"))
    return f"{at:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def speed_lines(found: dict[str, Any]) -> list[str]:
    """Ours against the baseline."""
    rows = [
        [
            label,
            middle(row["ours"], 1e3, 2),
            middle(row["plain"], 1e3, 0),
            middle(row["ratio"], 1.0, 0),
        ]
        for label, row in found["ways"].items()
    ]
    heading = (
        f"**{found['problem']}**, {found['covariates']} covariates, mean n1 "
        f"{found['mean_treated']:.0f}; processor time of one thread; {found['genes']} genes, "
        f"{found['baseline_genes']} for the baseline; {found['repeats']} repeats."
    )
    effect = max(row["effect_difference"] for row in found["ways"].values())
    p = [row["p_difference_in_errors"] for row in found["ways"].values() if row["raw"]]
    return [
        heading,
        "",
        *table(["per gene", "programDE, ms", "baseline, ms", "times faster"], rows),
        "",
        f"The two agree: effects to {effect:.0e}, raw p-values to {min(p):.2f} to {max(p):.2f} "
        "times their Monte Carlo error (root mean square; 1 is chance alone).",
        "",
    ]


def pieces_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """Where the time goes."""
    rows = []
    for name in PIECES:
        times = [measured["milliseconds"][name] for measured in found]
        if any(value["median"] >= 0.005 for value in times):
            rows.append([name, *[middle(value, 1.0, 2) for value in times]])
    total = [
        sum(value["median"] for value in measured["milliseconds"].values()) for measured in found
    ]
    rows.append(["sum of medians", *[f"{value:.2f}" for value in total]])
    return [*table(["ms per gene", *[measured["way"] for measured in found]], rows), ""]


def limit_lines(found: Sequence[dict[str, Any]], speed: dict[str, float]) -> list[str]:
    """How far from the memory's speed."""
    rows = [
        [
            measured["way"],
            f"{measured['limits']['sums_milliseconds']:.2f}",
            f"{measured['limits']['plain_milliseconds']:.2f}",
            f"{measured['limits']['rows_milliseconds']:.2f}",
            f"{measured['limits']['memory_milliseconds']:.2f}",
            f"{100 * measured['limits']['share_of_limit']:.0f} %",
        ]
        for measured in found
    ]
    header = [
        "ms per gene",
        "sums",
        "plain traffic",
        "rows from cache",
        "rows from memory",
        "limit",
    ]
    return [
        f"Measured in the same run: adding arrays of the accumulators' size "
        f"{speed['cache_add'] / 1e9:.0f} GB/s, reading them {speed['cache_read'] / 1e9:.0f} GB/s, "
        f"copying large arrays {speed['memory_copy'] / 1e9:.1f} GB/s.",
        "",
        *table(header, rows),
        "",
    ]


def growth_lines(found: dict[str, Any]) -> list[str]:
    """Fitted exponents."""
    names = list(found["middle"])
    rows = [
        [label, *[f"{sizes[n]['exponent']:.2f} ± {sizes[n]['error']:.2f}" for n in names]]
        for label, sizes in found["ways"].items()
    ]
    centre = ", ".join(f"{name} = {value:,}" for name, value in found["middle"].items())
    ranges = [
        f"{name} ({min(v)} to {max(v)})"
        for name, v in ((n, next(iter(found["ways"].values()))[n]["values"]) for n in names)
    ]
    return [
        f"About {centre}, {found['covariates']} covariates.",
        "",
        *table(["", *ranges], rows),
        "",
    ]


def thread_lines(found: dict[str, Any]) -> list[str]:
    """One thread against two."""
    rows = [
        [label, middle(row["one"], 1.0, 2), middle(row["two"], 1.0, 2), middle(row["ratio"], 1, 2)]
        for label, row in found["ways"].items()
    ]
    heading = f"{found['genes']} genes"
    return [*table([heading, "1 thread, s", "2 threads, s", "times faster"], rows), ""]


def memory_lines(found: dict[str, Any]) -> list[str]:
    """Peak memory."""
    return [
        f"{found['problem']}, {found['n_jobs']} threads, the whole process with its libraries: "
        f"peak {found['peak'] / 1e9:.2f} GB ({found['before'] / 1e9:.2f} GB with the screen "
        f"loaded); the formula of `programde/crt/memory_need.py` gives "
        f"{found['formula'] / 1e9:.2f} GB.",
        "",
    ]


def machine_lines(machine: dict[str, Any]) -> list[str]:
    """What it was measured on."""
    load = machine["load_before"]
    return [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; Python "
        f"{machine['python']}, numpy {machine['numpy']}, numba {machine['numba']}, scipy "
        f"{machine['scipy']}, scikit-learn {machine['scikit-learn']}; revision "
        f"{machine['commit']}; load before {load}, after {machine['load_after']}; "
        f"{machine['seconds']:.0f} s in all.",
        "",
    ]


def page(results: dict[str, Any]) -> list[str]:
    """All tables, with headings."""
    lines = ["### Speed", ""]
    for found in results["speed"]:
        lines += speed_lines(found)
    lines += ["### Threads", "", *thread_lines(results["threads"])]
    lines += ["### Where the time goes", "", *pieces_lines(results["pieces"])]
    lines += ["### How far from the limit", ""]
    lines += limit_lines(results["pieces"], results["bandwidth"])
    lines += ["### Growth", "", *growth_lines(results["growth"])]
    lines += ["### Memory", "", *memory_lines(results["memory"])]
    return [*lines, "### Machine", "", *machine_lines(results["machine"])]


def update_page(path: Path, results: dict[str, Any]) -> None:
    """Put the measured tables between the marks of a page.

    Raises
    ------
    ValueError
        If the page lacks the marks.
    """
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path} lacks the lines {BEGIN} and {END}")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    fresh = before + "\n".join([BEGIN, "", *page(results), END]) + after
    temporary = path.with_suffix(".tmp")
    temporary.write_text(fresh, encoding="utf-8")
    os.replace(temporary, path)
