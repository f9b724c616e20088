"""The frame of the report page: its style, the verdict's banner, the list of sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from programde.report.blocks import Block, Picture, escape, render
from programde.report.verdict import Verdict, Word

CSS = """
:root{--ink:#1c2430;--soft:#5b6675;--line:#e3e7ec;--paper:#fff;--wash:#f6f8fa;--accent:#0072b2;
--state:#5b6675;--tint:#f3f4f6;color-scheme:light}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--wash);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1040px;margin:0 auto;padding:20px 18px 60px}
header p{margin:2px 0 0;color:var(--soft)}
h1{font-size:1.6rem;line-height:1.2;margin:12px 0 0;letter-spacing:-.01em}
h2{font-size:1.22rem;margin:0 0 4px}
h1,h2,h3,figcaption,p{overflow-wrap:anywhere}
h3{font-size:1rem;margin:22px 0 2px}
td{unicode-bidi:isolate}
p{margin:8px 0;max-width:76ch}
section{background:var(--paper);border:1px solid var(--line);border-radius:12px;
padding:20px 22px;margin:18px 0}
section>.lead{color:var(--soft);margin-top:0}
.verdict{border-left:8px solid var(--state);background:var(--tint)}
.verdict .question{margin:0;color:var(--soft);font-size:.95rem}
.verdict .answer{font-size:1.55rem;font-weight:700;margin:2px 0 8px;line-height:1.25}
.verdict .answer i{font-style:normal;color:var(--state);margin-right:.35em}
.verdict .means{font-weight:600}
.verdict .side{display:flex;flex-wrap:wrap;gap:14px 28px;align-items:flex-start}
.verdict .text{flex:1 1 330px}.verdict figure{flex:1 1 330px;max-width:460px}
.verdict img{border-radius:8px;border:1px solid var(--line)}
sup{line-height:0}
.calibrated{--state:#009e73;--tint:#eef8f4}.inflated{--state:#d55e00;--tint:#fdf2ea}
.conservative{--state:#0072b2;--tint:#eef5fb}.few{--state:#b07c00;--tint:#fcf7e8}
.alert{border-left:8px solid #d55e00;background:#fdf2ea}.alert p{margin:0;font-weight:600}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(118px,1fr));gap:10px;
margin:18px 0 0}
.facts div{background:var(--paper);border:1px solid var(--line);border-radius:10px;
padding:10px 12px}
.facts b{display:block;font-size:1.3rem;font-variant-numeric:tabular-nums;line-height:1.25}
.facts span{color:var(--soft);font-size:.85rem}
nav{font-size:.92rem;margin:14px 0 0}
nav a{display:inline-block;color:var(--accent);text-decoration:none;margin:0 14px 6px 0}
nav a:hover{text-decoration:underline}
.pictures{display:flex;flex-wrap:wrap;gap:22px;margin:16px 0 0}
figure{margin:0;flex:1 1 100%;min-width:0}
figure.narrow{flex:1 1 400px;max-width:620px}
figcaption{margin-bottom:8px;font-size:.95rem}
figcaption b{display:block}
figcaption span{color:var(--soft)}
.missing{border:1px dashed var(--state);border-radius:8px;padding:14px 16px;color:var(--soft);
overflow-wrap:anywhere}
img{max-width:100%;height:auto;display:block}
.table{overflow-x:auto;margin:10px 0;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;font-size:.9rem;min-width:100%}
th,td{padding:5px 12px 5px 0;text-align:left;border-bottom:1px solid var(--line);
vertical-align:baseline}
thead th{color:var(--soft);font-weight:600;border-bottom:2px solid var(--line);
vertical-align:bottom}
thead .n{white-space:normal}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.w{white-space:nowrap}
tbody tr:hover{background:var(--wash)}
.keys th{font-weight:500;color:var(--soft);white-space:nowrap;padding-right:24px}
.keys td{width:100%;font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
font-size:.85rem;overflow-wrap:anywhere}
.note,.none{color:var(--soft);font-size:.93rem}
ul{margin:8px 0;padding-left:1.2em}li{margin:3px 0;max-width:76ch;overflow-wrap:anywhere}
details{margin:10px 0}summary{cursor:pointer;color:var(--accent)}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.9em}
footer{color:var(--soft);font-size:.88rem;margin-top:26px}
@media(max-width:600px){main{padding:10px 10px 40px}section{padding:15px 14px}
h1{font-size:1.35rem}.verdict .answer{font-size:1.3rem}}
@media print{body{background:#fff}section{break-inside:avoid;border:0;padding:0}nav{display:none}}
"""

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
) -> str:
    """The whole page as HTML text; `picture` stands beside the verdict, `warnings` above it.

    `question` is what the verdict answers.
    """
    anchors = [section.anchor or f"part-{i}" for i, section in enumerate(sections, 1)]
    links = "".join(
        f'<a href="#{escape(anchor)}">{escape(section.title)}</a>'
        for anchor, section in zip(anchors, sections, strict=True)
    )
    cards = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>"
        for name, value in facts.items()
    )
    body = "".join(
        f'<section id="{escape(anchor)}"><h2>{escape(section.title)}</h2>'
        + (f'<p class="lead">{escape(section.lead)}</p>' if section.lead else "")
        + _blocks(section.blocks)
        + "</section>\n"
        for anchor, section in zip(anchors, sections, strict=True)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>\n<body><main>\n"
        f"<header><h1>{escape(title)}</h1>"
        + (f"<p>{escape(subtitle)}</p>" if subtitle else "")
        + f"</header>\n{_alerts(warnings)}{_banner(verdict, picture, cards, question)}\n"
        f"<nav>{links}</nav>\n{body}"
        + (f"<footer>{escape(footer)}</footer>\n" if footer else "")
        + "</main></body></html>\n"
    )


def _alerts(warnings: Sequence[str]) -> str:
    return "".join(
        f'<section class="alert" role="alert"><p>{escape(text)}</p></section>\n'
        for text in warnings
    )


def _banner(verdict: Verdict, picture: Picture | None, cards: str, question: str) -> str:
    name, sign, answer, meaning = _BANNER[verdict.word]
    sentence = escape(verdict.sentence).replace(" %", "&nbsp;%")
    text = (
        f'<div class="text"><p class="question">{escape(question)}</p>'
        f'<p class="answer"><i aria-hidden="true">{sign}</i>{escape(answer)}</p>'
        f'<p class="means">{escape(meaning)}</p><p>{sentence}</p>'
        f'<div class="facts">{cards}</div></div>'
    )
    side = render(picture) if picture is not None else ""
    return f'<section class="verdict {name}"><div class="side">{text}{side}</div></section>'


def _blocks(blocks: Sequence[Block]) -> str:
    """Blocks in order; neighbouring pictures share a row where they fit."""
    parts: list[str] = []
    row: list[str] = []
    for block in [*blocks, None]:
        if isinstance(block, Picture):
            row.append(render(block))
            continue
        if row:
            parts.append(f'<div class="pictures">{"".join(row)}</div>')
            row = []
        if block is not None:
            parts.append(render(block))
    return "".join(parts)
