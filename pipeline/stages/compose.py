"""Stage compose: conf/ resolved and checked, into params.yaml.

Beside it, data/inputs/ holds links to the files that come in. DVC follows them: when a file's
content changes, this stage runs again, and the new fingerprint reaches the stage that reads it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.command_line import configured
from pipeline.config.params import PARAMS
from pipeline.config.resolve import read_there
from pipeline.files import replacing_folder, write_json, write_text
from pipeline.stages.entry import run

INPUTS = Path("data/inputs")

BANNER = "# Generated from conf/ by stage compose: do not edit; what you edit is in conf/.\n"


def write_params(params: dict[str, Any], path: Path = PARAMS) -> bool:
    """Write params.yaml; an identical file is left untouched. Whether it was written."""
    return write_text(path, BANNER + yaml.safe_dump(params, sort_keys=False, allow_unicode=True))


def link_inputs(params: dict[str, Any], folder: Path = INPUTS) -> None:
    """Fill `folder` with links to the files that come in, and a table of them."""
    with replacing_folder(folder) as temporary:
        write_json(temporary / "inputs.json", params["data"].get("fingerprint", {}))
        for key, where in params["inputs"].items():
            # of a folder that grows with every run, the file that is read
            source = read_there(key, where, params["data"]) if key == "out_dir" else Path(where)
            if source.is_dir():
                for file in sorted(p for p in source.rglob("*") if p.is_file()):
                    link = temporary / f"data.{key}" / file.relative_to(source)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    os.symlink(file, link)
            else:
                os.symlink(source, temporary / f"data.{key}")


def compose(params: dict[str, Any]) -> None:
    write_params(params)
    link_inputs(params)


if __name__ == "__main__":
    run("compose", compose, configured)
