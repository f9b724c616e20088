"""Results, a file per (generator, setting, block), so that an interrupted run goes on.

A block is one simulated screen. Its file holds the generator's stamp; one with another stamp is
computed again, and one of a revision that is named as stale. Settings with draws take part in every
`DRAWS_EVERY`-th block, from the last of the first so many on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.validity.counting import count
from benchmarks.validity.generators import GENERATORS, Generator
from benchmarks.validity.settings import SETTINGS, Screens, Setting

DRAWS_EVERY = 5


def path_of(folder: Path, generator: str, setting: str, block: int) -> Path:
    """Where a block's counts are kept."""
    return folder / generator / setting / f"{block:04d}.json"


def read(file: Path, stamp: str) -> dict[str, Any] | None:
    """Counts of a block; None where there are none of this generator's source."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("stamp") == stamp else None


def write(file: Path, counts: dict[str, Any]) -> None:
    """Keep a block's counts, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(counts), encoding="utf-8")
    os.replace(temporary, file)


def chosen(only: Sequence[str]) -> tuple[list[Generator], list[Setting]]:
    """Generators and settings that the words name; all where they name none.

    A word is a generator's name, a setting's, or a part of several settings' names.

    Raises
    ------
    SystemExit
        On a word that names neither.
    """
    generators = [g for name, g in GENERATORS.items() if name in only]
    words = [word for word in only if word not in GENERATORS]
    settings = [
        setting
        for name, setting in SETTINGS.items()
        if any(word == name or (word in name and word not in SETTINGS) for word in words)
    ]
    for word in words:
        if not any(word in name for name in SETTINGS):
            raise SystemExit(
                f"--only {word}: no generator ({', '.join(GENERATORS)}) and part of no setting's "
                "name (see --list)"
            )
    return generators or list(GENERATORS.values()), settings or list(SETTINGS.values())


def open_work(
    folder: Path,
    generators: Sequence[Generator],
    settings: Sequence[Setting],
    blocks: Sequence[int],
    stale: Sequence[str] = (),
) -> Iterator[tuple[Generator, int, list[Setting]]]:
    """What is not yet there, or of a stale revision, screen by screen, all generators in turn."""

    def there(generator: Generator, setting: Setting, block: int) -> bool:
        found = read(path_of(folder, generator.name, setting.name, block), generator.stamp)
        return found is not None and found["commit"] not in stale

    for block in blocks:
        for generator in generators:
            wanted = [
                setting
                for setting in settings
                if not (setting.n_resamples and (block + 1) % DRAWS_EVERY)
                and not there(generator, setting, block)
            ]
            if wanted:
                yield generator, block, wanted


def run(
    folder: Path,
    generators: Sequence[Generator],
    settings: Sequence[Setting],
    blocks: Sequence[int],
    until: float,
    stale: Sequence[str] = (),
) -> int:
    """Compute what is missing until a time (of `time.monotonic`); returns how many were done."""
    done = 0
    commit = revision()
    with threadpool_limits(limits=1):
        for generator, block, wanted in open_work(folder, generators, settings, blocks, stale):
            if time.monotonic() > until:
                break
            begin = time.perf_counter()
            screens = Screens(generator.screen(block))
            truth, sizes = screens.simulated.truth, screens.sizes
            for setting in wanted:
                if time.monotonic() > until:
                    break
                own = time.perf_counter()
                counts = {
                    name: count(p, truth, sizes) for name, p in setting.p_values(screens).items()
                }
                stored = {
                    "stamp": generator.stamp,
                    "commit": commit,
                    "seconds": time.perf_counter() - own,
                    "calibrations": counts,
                }
                write(path_of(folder, generator.name, setting.name, block), stored)
                done += 1
            took = time.perf_counter() - begin
            print(f"{generator.name} {block}: {len(wanted)} settings, {took:.1f} s",
                  file=sys.stderr, flush=True)  # fmt: skip
    return done


def revision() -> str:
    """The commit at work, with a plus where files of the package differ from it."""
    here = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        asked = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True)
        return asked.stdout.strip() if asked.returncode == 0 else ""

    changed = git("status", "--porcelain", "--", "programde")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")
