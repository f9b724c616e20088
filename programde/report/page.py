"""The frame of the report page: the verdict's banner, the list of sections, style and scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from programde.report.blocks import Block, Picture, escape, prepared
from programde.report.templates import (
    GRIDS,
    GRIDS_STYLE,
    PAGE,
    SCRIPT,
    STYLE,
    asset,
    fill,
    json_in_html,
    markup,
    policy,
)
from programde.report.verdict import Verdict, Word

_BANNER: dict[Word, tuple[str, str, str, str]] = {
    "calibrated": (
        "calibrated",
        "✓",
        "Yes: calibrated",
        "Control guides look significant as often as chance predicts, so the q-values below "
        "can be taken at their word.",
    ),
    "inflated": (
        "inflated",
        "▲",
        "No: inflated",
        "Control guides look significant too often. Believe strong hits that agree between "
        "guides; hits near the threshold may be false.",
    ),
    "conservative": (
        "conservative",
        "▼",
        "On the safe side: conservative",
        "Control guides look significant more rarely than chance predicts. Hits can be trusted; "
        "weaker effects are missed.",
    ),
    "too few controls to tell": (
        "few",
        "?",
        "Too few controls to tell",
        "The controls cannot vouch for the p-values, nor do they speak against them. The hits "
        "rest on the assumptions of the test alone.",
    ),
    "not judged": (
        "few",
        "?",
        "Not judged",
        "No control guide was tested in the way of these p-values. The hits rest on the "
        "assumptions of the test alone.",
    ),
}


@dataclass(frozen=True)
class Section:
    """A part of the page: a heading, one leading sentence, blocks in reading order."""

    title: str
    blocks: Sequence[Block]
    lead: str = ""
    anchor: str = ""


def render_page(
    title: str,
    subtitle: str,
    verdict: Verdict,
    facts: Mapping[str, str],
    sections: Sequence[Section],
    *,
    picture: Picture | None = None,
    warnings: Sequence[str] = (),
    footer: str = "",
    question: str = "Is this run calibrated?",
    opened: Mapping[str, Any] | None = None,
) -> str:
    """The whole page as HTML text; `picture` stands beside the verdict, `warnings` above it.

    `question` is what the verdict answers, `opened` what a click on a row shows (see `details`).
    """
    shown = [_section(section, number) for number, section in enumerate(sections, 1)]
    works = any(
        row["block"] and row["block"]["kind"] in ("grid", "map", "paste")
        for section in shown
        for row in section["rows"]
    )
    scripts = [asset(GRIDS), asset(SCRIPT)] if works else []
    styles = [asset(GRIDS_STYLE)] if works else []
    name, sign, answer, meaning = _BANNER[verdict.word]
    sentence = escape(verdict.sentence).replace(" %", "&nbsp;%")
    return fill(
        PAGE,
        title=title,
        subtitle=subtitle,
        css=markup("\n".join([*styles, asset(STYLE)])),
        policy=markup(policy(scripts)),
        scripts=[markup(script) for script in scripts],
        warnings=list(warnings),
        banner={
            "css": name,
            "sign": sign,
            "answer": answer,
            "meaning": meaning,
            "sentence": markup(sentence),
        },
        question=question,
        facts=dict(facts),
        picture=prepared(picture) if picture is not None else None,
        sections=shown,
        opened=json_in_html(opened) if opened else "",
        footer=footer,
    )


def _section(section: Section, number: int) -> dict[str, Any]:
    """A section as the template takes it: neighbouring pictures share a row where they fit."""
    rows: list[dict[str, Any]] = []
    for block in section.blocks:
        ready = prepared(block)
        if ready["kind"] != "picture":
            rows.append({"pictures": [], "block": ready})
        elif rows and rows[-1]["pictures"]:
            rows[-1]["pictures"].append(ready)
        else:
            rows.append({"pictures": [ready], "block": None})
    anchor = section.anchor or f"part-{number}"
    return {"title": section.title, "lead": section.lead, "anchor": anchor, "rows": rows}
