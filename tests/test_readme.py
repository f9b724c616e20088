"""The Python on the front page runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_code_on_the_front_page_runs(capsys):
    space: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, space)
    assert "GENE" in capsys.readouterr().out
    table = space["table"]
    assert table["p_value"].between(0, 1).all()
    assert len(table) == 20 * 10
