"""Stage compose: conf/ resolved and checked, into params.yaml.

Beside it, data/inputs/ holds links to the files that come in. DVC follows them: when a file's
content changes, this stage runs again, and the new fingerprint reaches the stage that reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.command_line import configured
from pipeline.config.params import PARAMS
from pipeline.config.resolve import files_read, read_there
from pipeline.files import parse_yaml, replacing_folder, write_json, write_text
from pipeline.stages.entry import run
from programde.errors import OptionError, some

INPUTS = Path("data/inputs")

BANNER = "# Generated from conf/ by stage compose: do not edit; what you edit is in conf/.\n"
#: Above the keys stands a hash of them, by which an edit shows.
HASH = "# {}\n"


def write_params(params: dict[str, Any], path: Path = PARAMS) -> bool:
    """Write params.yaml; an identical file is left untouched. Whether it was written."""
    keys = yaml.safe_dump(params, sort_keys=False, allow_unicode=True)
    return write_text(path, BANNER + HASH.format(_hash(parse_yaml(keys))) + keys)


def edits(params: dict[str, Any], path: Path = PARAMS) -> list[str]:
    """Keys that somebody else than this stage wrote into params.yaml, as ``key=value``.

    `dvc exp run -S key=value` writes there. What conf/ says as well is no edit; nor is what conf/
    said when the file was written.
    """
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    told = re.search(HASH.format("([0-9a-f]{16})"), text)
    try:
        there = parse_yaml(text)
    except yaml.YAMLError:
        return ["what is no YAML"]
    if told is None or told[1] == _hash(there):  # an older file has no hash
        return []
    wanted = _flat(parse_yaml(yaml.safe_dump(params)))
    return [f"{key}={value}" for key, value in _flat(there).items() if wanted.get(key) != value]


def _hash(keys: Any) -> str:
    text = json.dumps(keys, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Values by their dotted key."""
    if not isinstance(tree, dict):
        return {prefix[:-1]: tree}
    return {k: v for key, one in tree.items() for k, v in _flat(one, f"{prefix}{key}.").items()}


def link_inputs(params: dict[str, Any], folder: Path = INPUTS) -> None:
    """Fill `folder` with links to the files that come in, and a table of them."""
    with replacing_folder(folder) as temporary:
        write_json(temporary / "inputs.json", params["data"].get("fingerprint", {}))
        for key, where in params["inputs"].items():
            # of a folder that grows with every run, the file that is read
            source = read_there(key, where, params["data"]) if key == "out_dir" else Path(where)
            if source.is_dir():
                inside = sorted(p for p in source.rglob("*") if p.is_file())
                if params["data"]["kind"] == "folder":  # of other days nothing is read
                    inside = files_read(key, where, params["data"])
                for file in inside:
                    link = temporary / f"data.{key}" / file.relative_to(source)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    os.symlink(file, link)
            else:
                os.symlink(source, temporary / f"data.{key}")


def compose(params: dict[str, Any]) -> None:
    edited = edits(params)
    write_params(params)
    link_inputs(params)
    if edited:  # never a success without what was asked for
        raise OptionError(
            f"params.yaml said {some(edited)} and conf/ does not: it is made from conf/, and was "
            "made again. dvc exp run -S and edits of params.yaml change nothing here: edit conf/, "
            f"or for one setting: python -m pipeline.sweep {edited[0]}"
        )


def main() -> None:
    """Take the command line."""
    run("compose", compose, configured)


if __name__ == "__main__":
    main()
