"""Hydra and DVC read and merge the same files some hundred times here: once is enough.

What comes out is what they made of these files, copied (by pickle, which takes a sixth of what
`copy.deepcopy` does); a file that changed is read anew.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml


@pytest.fixture(autouse=True, scope="session")
def _dvc_reads_a_text_once() -> Iterator[None]:
    """DVC reads params.yaml and dvc.yaml anew for every stage; that is most of its time here."""
    from dvc.utils.serialize import _yaml

    parse = _yaml.parse_yaml
    known: dict[str, bytes] = {}

    def parsed(text: str, path: str, typ: str = "safe") -> Any:
        if typ != "safe":
            return parse(text, path, typ)
        if text not in known:
            known[text] = pickle.dumps(parse(text, path))
        return pickle.loads(known[text])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_yaml, "parse_yaml", parsed)
        yield


@pytest.fixture(autouse=True, scope="session")
def _hydra_parses_a_text_once() -> Iterator[None]:
    """conf/ is composed and dvc.yaml read some hundred times here, the same files."""
    from omegaconf import omegaconf

    from pipeline import files

    known: dict[tuple[str, Any], bytes] = {}

    def load(stream: Any, Loader: Any) -> Any:
        text = stream if isinstance(stream, str) else stream.read()
        asked = text, Loader.__mro__[1]  # OmegaConf makes a class of its own for each text
        if asked not in known:
            known[asked] = pickle.dumps(yaml.load(text, Loader))
        return pickle.loads(known[asked])

    quick = SimpleNamespace(**vars(yaml) | {"load": load})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(omegaconf, "yaml", quick)
        patch.setattr(files, "yaml", quick)
        yield


@pytest.fixture(autouse=True, scope="session")
def _hydra_merges_the_same_files_once() -> Iterator[None]:
    """Which files of conf/ a command line picks, and their merger, by the words that pick files.

    The words that set values are applied by Hydra to a copy, every time.
    """
    from hydra._internal import config_loader_impl as loader

    list_files, merge = loader.create_defaults_list, loader.ConfigLoaderImpl
    merge_files = merge._compose_config_from_defaults_list
    lists: dict[Any, Any] = {}
    merged: dict[int, bytes] = {}  # by the list of files, which `lists` keeps

    def listed(repo: Any, config_name: Any, overrides_list: list[Any], **how: Any) -> Any:
        picks: list[Any] = []
        values: list[Any] = []
        for word in overrides_list:
            if word.is_sweep_override():
                continue
            plain = isinstance(word.value(), dict) or not repo.group_exists(word.key_or_group)
            (values if plain else picks).append(word)
        key = (
            tuple(_files_of(source) for source in repo.get_sources()),
            config_name,
            tuple(word.input_line for word in picks),
            *sorted(how.items()),
        )
        if key not in lists:
            lists[key] = list_files(repo, config_name, picks, **how)
        return replace(lists[key], config_overrides=values)

    def merging(self: Any, defaults: list[Any], repo: Any) -> Any:
        if id(defaults) not in merged:
            merged[id(defaults)] = pickle.dumps(merge_files(self, defaults, repo))
        return pickle.loads(merged[id(defaults)])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "create_defaults_list", listed)
        patch.setattr(merge, "_compose_config_from_defaults_list", merging)
        yield


def _files_of(source: Any) -> Any:
    """What lies where Hydra looks for files: copies of conf/ keep the times of their files."""
    if source.scheme() != "file":
        return source.scheme(), source.path
    files = [(path, path.stat()) for path in sorted(Path(source.path).rglob("*.yaml"))]
    return tuple((str(p.relative_to(source.path)), s.st_mtime_ns, s.st_size) for p, s in files)
