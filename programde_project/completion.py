"""What a shell may complete of ``key=value``; reads conf/ alone, since a shell does not wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from programde_project.settings import choices, parse_yaml, picked


def completions(conf: Path, incomplete: str) -> list[str]:
    """Words that begin with `incomplete`."""
    key, equals, value = incomplete.partition("=")
    folders = choices(conf)
    if equals:
        *before, last = value.split(",")
        told = "".join(f"{one}," for one in before)
        return [f"{key}={told}{name}" for name in folders.get(key, []) if name.startswith(last)]
    words = [f"{name}=" for name in folders] + [f"{name}=" for name in _keys(conf)]
    return sorted({word for word in words if word.startswith(key)})


def _keys(conf: Path) -> Iterator[str]:
    base = parse_yaml((conf / "config.yaml").read_text(encoding="utf-8"))
    for name, value in base.items():
        if name in ("defaults", "hydra"):
            continue
        if isinstance(value, dict):
            yield from (f"{name}.{key}" for key in value)
        else:
            yield name
    for group, chosen in picked(conf).items():
        for file in sorted((conf / group).glob("*.yaml")):
            if group == "data" or file.stem == chosen:
                own = parse_yaml(file.read_text(encoding="utf-8"))
                yield from (f"{group}.{key}" for key in own if key != "defaults")
